#!/usr/bin/perl
# tidy.pl - the rules of tidy.sh that look into files: says file, line and rule; one process for all.
#
# The names of all files come in on standard input, one a line. The last line counts the rules.
use strict;
use warnings;

chomp(my @files = <STDIN>);
my ($good, $bad) = (0, 0);
my (%text, %lines, %code); # by file: what it says, in lines, and the code alone

sub files { my ($pattern) = @_; return grep { /$pattern/ } @files }

my @sources = files(qr/\.[ch]$/);
my @scripts = files(qr/\.(sh|py|pl|sql|js)$/);
my @core = files(qr{^(coordinator|agent)/core/.*\.[ch]$});
my @coordinator = files(qr{^coordinator/.*\.[ch]$});
my @agent = files(qr{^agent/.*\.[ch]$});
my @common = files(qr{^common/.*\.[ch]$});
my @product = (@coordinator, @agent, @common);
my @served = grep { /\.c$/ && !m{^coordinator/cli/} } @coordinator;

sub slurp {
    my ($f) = @_;
    open my $in, "<", $f or die "$f: $!\n";
    local $/;
    return <$in> // "";
}

for my $f (@sources, @scripts, "README.md") {
    $text{$f} = slurp($f);
    $lines{$f} = [split /\n/, $text{$f}];
}
# Comments and string contents are blanked, lines keep their numbers.
for my $f (@sources) {
    ($code{$f} = $text{$f}) =~ s{("(?:\\.|[^"\\\n])*")|(/\*.*?\*/)|(//[^\n]*)}{
        my $t = $1 // $2 // $3; $t =~ s/[^\n]/ /g unless $t =~ m|^"[\w./-]+\.h"$|; $t}gse;
}

# One rule: its sentence, and what was found against it.
sub rule {
    my ($sentence, @findings) = @_;
    if (!@findings) { $good++; return }
    $bad++;
    print "$sentence:\n", map { "  $_\n" } @findings;
}

# Where a pattern stands in these texts: each line once.
sub search {
    my ($in, $pattern, @in) = @_;
    my @found;
    $pattern =~ s/^\(\?\^/(?^m/; # ^ and $ mean lines, whoever wrote it
    for my $f (@in) {
        my $text = $in->{$f};
        my ($last, $n, $counted) = (0, 1, 0);
        while ($text =~ /$pattern/mg) {
            $n += substr($text, $counted, $-[0] - $counted) =~ tr/\n//;
            $counted = $-[0];
            push @found, "$f:$n:$lines{$f}[$n - 1]" if $n != $last;
            $last = $n;
        }
    }
    return @found;
}
sub in_code { return search(\%code, @_) }
sub in_text { return search(\%text, @_) }

# What a piece of code says of each file; it gets the name, the text and the lines.
sub each_of {
    my ($look, @in) = @_;
    return map { $look->($_, $text{$_}, @{ $lines{$_} }) } @in;
}
sub base { return $_[0] =~ m{([^/]+)$} ? $1 : $_[0] }

# ---------------------------------------------------------------- how files look

rule 'the first line is "/* NAME - one sentence: its single responsibility. */"', each_of(sub {
    my ($f, undef, $first) = @_;
    my $name = base($f);
    return ($first // "") =~ m{^/\* \Q$name\E - [^ ].*[^ ]( \*/)?$} ? () : "$f:1";
}, @sources);

rule "a script or page says on its first line (after #!) what it is for", each_of(sub {
    my ($f, undef, @line) = @_;
    my $name = base($f);
    return (grep { m{^(#|--|//|/\*) \Q$name\E - |^"""\Q$name\E - } } grep { defined } @line[0, 1]) ? () : "$f:1";
}, @scripts);

rule "lines have at most 100 columns, the first one 110 (rows of tables may be longer)", each_of(sub {
    my ($f, undef, @line) = @_;
    my ($n, @found) = (0);
    for (@line) {
        $n++;
        next if length() <= 100;
        (my $shown = $_) =~ s/ *\\$//;
        $shown =~ s/[\200-\277]//g;
        my $width = length $shown;
        push @found, "$f:$n: $width columns"
            if $width > ($n == 1 ? 110 : 100) && !/^ *\{.*\},?$/ && !m{^/\*  .*\*/$};
    }
    return @found;
}, @sources);

rule "functions have at most 70 lines", each_of(sub {
    my ($f, undef, @line) = @_;
    my ($n, $start, @found) = (0, 0);
    for (@line) {
        $n++;
        $start = $n if /^\{$/;
        next unless /^\}/ && $start;
        my $count = $n - $start - 1;
        push @found, "$f:$start: $count lines" if $count > 70;
        $start = 0;
    }
    return @found;
}, @sources);

rule "files have at most 600 lines", each_of(sub {
    my ($f, $text) = @_;
    my $n = $text =~ tr/\n//;
    return $n > 600 ? "$f: $n lines" : ();
}, @sources, @scripts);

# A module of several files shares a NAME_….h of its own, which includes NAME.h.
rule "a .c file includes its own header first, so that every header stands alone", each_of(sub {
    my ($f, undef, @line) = @_;
    my ($stem) = $f =~ /^(.*)\.c$/ or return ();
    return () unless -e "$stem.h";
    my ($first) = grep { /^#include/ } @line;
    return ($first // "") =~ /"\Q$stem\E(_[a-z]+)?\.h"/ ? () : $f;
}, @sources);

rule "a header is guarded by its path in capitals", each_of(sub {
    my ($f, $text) = @_;
    return () unless $f =~ /\.h$/;
    (my $full = uc $f) =~ tr{/.-}{___};
    my ($guard) = $text =~ /^#ifndef ([A-Z0-9_]+_H)$/m;
    return "$f: $full" if !defined $guard || "_$full" !~ /_\Q$guard\E$/;
    return $text =~ /^#define \Q$guard\E$/m ? () : $f;
}, @sources);

rule "a header declares a function once", each_of(sub {
    my ($f) = @_;
    my (%seen, @found);
    return () unless $f =~ /\.h$/;
    $seen{$1}++ and push @found, "$f: $1"
        while $code{$f} =~ /^(?!static|typedef|return)[a-z][\w \*\n]*?\b(?!__attribute__)(\w+)\([^;{}]*;/mg;
    return @found;
}, @sources);

rule "nothing is left open in comments: TODO, FIXME, XXX",
    grep { !m{^tests/tidy\.pl:} } in_text(qr/\b(TODO|FIXME|XXX|HACK)\b|not implemented/, @sources, @scripts);
rule "no blanks at line ends", in_text(qr/[ \t\r\f]+$/, @sources, @scripts, "README.md");

# ---------------------------------------------------------------- who may include what

# A library, and the files that may include it; tests of single parts may as well.
sub only {
    my ($library, $owners) = @_;
    my @others = grep { !m{^tests/(unit|db|fuzz)/} && !m{^(?:$owners)} } @sources;
    rule "only $owners may include <$library>", in_text(qr/^#include <($library)/, @others);
}
only 'libpq|postgres', 'coordinator/store/pg(_internal\.h|\.c)$';
only 'microhttpd', 'coordinator/http/|agent/local/';
only 'curl/', 'coordinator/courier/|coordinator/keyring/vault_|coordinator/cli/|agent/tasks/apply.*\.c$';
only 'lmdb', 'agent/cache/|tests/bench/client/';
only 'openssl/', 'common/(crypto/(base64|digest|seal)|random)\.c$|coordinator/store/access/tokens\.c$';
only 'xxhash', 'agent/client/lookup\.h$';
only 'zmq|czmq', 'coordinator/link/(router|zap\.c$)|agent/link/dealer\.c$|(coordinator|agent)/loop.*\.c$|'
    . 'tests/(bench|peer|stranger)/';
only 'yaml', 'common/document/|coordinator/cli/';
only 'ini\.h', 'common/settings\.c$|coordinator/cli/context\.c$';
only 'check\.h', 'tests/';

my $impure_headers = qr/\#include[ ]<(assert|stdio|stdlib|time|unistd|errno|pthread|fcntl|sys\/
    |czmq|zmq|libpq|jansson|microhttpd|curl|lmdb|openssl)/x;
my $impure_calls = qr/\b(malloc|calloc|realloc|strdup|free|time|clock_gettime|rand|random|printf
    |fprintf|snprintf|getenv|log_(debug|info|warn|error|write))\(/x;
my $impure_rooms = qr{\#include[ ]"common/(buffer|clock|log|settings|(document|wire|schema)/.*
    |crypto/(digest|seal|envelope).*)\.h"}x;
my $global = qr/^(static )?((struct|enum) [a-z_]+|u?int[0-9]+_t|bool|char|unsigned|size_t|int) +\**[a-z_]+(\[[^]]*\])*( = .*)?;/;
rule "a core is pure: no library, clock, allocation, log, global, and nothing from above it",
    in_code($impure_headers, @core), in_code($impure_calls, @core), in_code($impure_rooms, @core), in_code($global, @core),
    in_code(qr{#include "(?!(common|coordinator/core|agent/core)/)}, @core);

rule "coordinator and agent know common, and not each other; common knows neither",
    in_code(qr{#include "agent/}, @coordinator), in_code(qr{#include "coordinator/}, @agent),
    in_code(qr{#include "(agent|coordinator)/}, @common), in_code(qr{#include "tests/}, @product);

# Who, and what it must not include.
my @above = (
    [ qr{^(?!.*/(loop[^/]*\.[ch]|main\.c)$)},       qr{#include "(coordinator|agent)/(loop|main)} ],
    [ qr{^coordinator/cli/},                         qr{#include "coordinator/(?!cli/)} ],
    [ qr{^coordinator/store/},                       qr{#include "coordinator/(http|courier|link|cli)} ],
    [ qr{^coordinator/link/(router.*|zap)\.[ch]$},   qr{#include "coordinator/(store|http|courier|cli)} ],
    [ qr{^coordinator/courier/},                     qr{#include "coordinator/(http|link|cli)} ],
    [ qr{^coordinator/keyring/},                     qr{#include "coordinator/(store|http|courier|link|cli)} ],
    [ qr{^coordinator/http/},                        qr{#include "coordinator/(link|courier|cli)} ],
);
rule "a file includes only what is below it: edges do not call each other, the loop is called by main alone",
    map { my ($who, $what) = @$_; in_code($what, grep { $_ =~ $who } @coordinator, @agent) } @above;

# tests/rooms lists the folders, low to high, in blocks.
sub rooms {
    my ($block, %level, %count, %seen, @found) = (0);
    for (split /\n/, slurp("tests/rooms")) {
        if (/^\s*$/) { $block++ } elsif (/^([^#\s]\S*)\s+\S/) { $level{$1} = $block }
    }
    for my $f (grep { !m{/examples/} } @product) {
        my ($folder) = $f =~ m{^(.*)/};
        $seen{$folder} = 1;
        $count{$folder}++ if $f =~ /\.c$/;
        push @found, "$f: its folder is not in tests/rooms" unless defined $level{$folder};
        my $n = 0;
        for (@{ $lines{$f} }) {
            $n++;
            next unless m{^#include "((?:common|coordinator|agent)(?:/.*)?)/[^/"]+"} && $1 ne $folder;
            push @found, "$f:$n: $1 is not below $folder" unless ($level{$1} // 99) < ($level{$folder} // 99);
        }
    }
    push @found, map { "$_: $count{$_} .c files" } grep { $count{$_} > 35 && $_ ne "coordinator/cli" } sort keys %count;
    return @found, map { "tests/rooms: nothing lies in $_" } grep { !$seen{$_} } sort keys %level;
}
rule "a file includes its own folder and lower ones (tests/rooms), and a folder has at most 35 .c files", rooms();

# From every header along its includes: who meets a header that is not left yet goes round.
my (%state, @circles);
sub follow {
    my ($f, @way) = @_;
    return if ($state{$f} // "") eq "left";
    if (defined $state{$f}) { push @circles, join(" -> ", @way, $f); return }
    $state{$f} = "entered";
    while ($text{$f} =~ /^#include "([^"]+)"/mg) { my $next = $1; follow($next, @way, $f) if defined $text{$next} }
    $state{$f} = "left";
}
follow($_) for grep { /\.h$/ } @sources;
rule "headers do not include each other in a circle", @circles;

# ---------------------------------------------------------------- what is never written

rule "never goto, strcpy, strcat, strncpy, sprintf, gets, alloca, setjmp, strtok, atoi, system, popen, rand",
    in_code(qr/\b(strcpy|strcat|strncpy|sprintf|vsprintf|gets|alloca|setjmp|longjmp|strtok|atoi|atol|system|popen|tmpnam
        |mktemp|rand|srand)\(|\bgoto\b/x, @sources);
rule "never a typedef of a struct, LMDB without its sync, ROUTER_HANDOVER, PREPARE TRANSACTION",
    in_code(qr/^[ \t]*typedef (struct|union|enum)|MDB_(NOSYNC|NOMETASYNC|WRITEMAP)|ROUTER_HANDOVER|POSTPROCESSOR|PREPARE TRANSACTION/,
        @product);
rule "a test is TEST(name) { … } and registers itself (tests/test.h): no list of tests, no main of one's own",
    in_code(qr/\bSTART_TEST\b|\bEND_TEST\b|\b(tcase|suite|srunner)_\w+\(|\bmain\(/,
        grep { m{^tests/(unit|db)/} } @sources);
rule "no sleep() as synchronisation: poll with a limit", in_code(qr/\bsleep\(/, @sources);

rule "every thread of the coordinator has a pulse, so that the watchdog asks it (common/pulse.h)", each_of(sub {
    my ($f, $text) = @_;
    my $threads = () = $text =~ /^.*pthread_create\(/mg;
    my $pulses = () = $text =~ /^.*pulse_begin\(/mg;
    return $threads <= $pulses ? () : $f;
}, @served);

# The one list of the trail's actions: whoever listens is woken by it.
my %listed = map { $_ => 1 } $text{"coordinator/store/actions.h"} =~ /X\("([a-z_.]+)"/g;
rule "actions of the audit trail are listed in coordinator/store/actions.h", each_of(sub {
    my ($f, $text) = @_;
    return map { "$f: $_" } grep { !$listed{$_} }
        $text =~ /["\x27]((?:audit|command|config|environment|freeze|leader|retention|rollout|schema|server|strategy|subscription|token)
            \.[a-z_]+)["\x27]/xg;
}, grep { m{\.c$} && !m{/routes\.c$} } @served);

# The one list of problem codes: clients act on them, the description of the API explains them.
my %known = map { $_ => 1 } $text{"coordinator/http/request/codes.h"} =~ /X\(([a-z_]+)\)/g;
rule "problem codes are listed in coordinator/http/request/codes.h", each_of(sub {
    my ($f, $text) = @_;
    my @found;
    while ($text =~ /\berr_code\(\s*&?\w+,[^"]*?"(\w+)"|->code = "(\w+)"/g) {
        my $code = $1 // $2;
        push @found, "$f $code" unless $known{$code};
    }
    return @found;
}, @served);

# ---------------------------------------------------------------- what lies where

my ($number, @misnumbered) = (0);
for (sort { $a cmp $b } files(qr{^sql/.*\.sql$})) {
    my $want = sprintf "%03d", ++$number;
    push @misnumbered, "$_: expected number $want" unless m{^sql/${want}_};
}
rule "SQL files are numbered 001_, 002_, … without gaps", @misnumbered;

my %top = map { m{^([^/]+)} => 1 } @files;
rule "nothing at the top but Makefile README.md LICENSE coordinator agent common sql tests dashboards",
    grep { !/^(Makefile|README\.md|LICENSE|coordinator|agent|common|sql|tests|dashboards|package(-lock)?\.json|\..*)$/ }
    sort keys %top;

print "$good passed, $bad failed\n";
exit($bad ? 1 : 0);
