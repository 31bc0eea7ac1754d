/* sqltime.h - how a timestamp column becomes the text of the API: RFC 3339, UTC, milliseconds. */
#ifndef COORDINATOR_STORE_SQLTIME_H
#define COORDINATOR_STORE_SQLTIME_H

/* Sessions run in UTC (pg.h). NULL stays NULL. */
#define SQL_TIME(column) "to_char(" column ", 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

#endif
