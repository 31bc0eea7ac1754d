/* variable_names.c - names of environment variables that a loader, shell or interpreter obeys. Pure. */
#include "common/variable_names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/name.h"

#define WORD_MAX 600

/* Names in capitals; one that ends with * stands for all that begin so. */
static const struct family {
    const char *who;
    const char *names;
} families[] = {
    { "the dynamic loader and the C library",
      "LD_* _RLD* DYLD_* LIBPATH SHLIB_PATH GLIBC_* GCONV_PATH GETCONF_DIR LOCPATH NLSPATH "
      "I18NPATH MALLOC_* MUDFLAP_OPTIONS HOSTALIASES LOCALDOMAIN RES_OPTIONS RESOLV_* TZDIR "
      "NIS_PATH ASAN_OPTIONS LSAN_OPTIONS MSAN_OPTIONS TSAN_OPTIONS UBSAN_OPTIONS GCOV_* "
      "LLVM_PROFILE_FILE" },
    { "shells",
      "PATH IFS ENV BASH BASH_* BASHOPTS SHELLOPTS SHELL PROMPT_COMMAND PS0 PS1 PS2 PS3 PS4 "
      "CDPATH GLOBIGNORE EXECIGNORE FUNCNEST FIGNORE ZDOTDIR FPATH FCEDIT KSH_* HISTFILE "
      "HISTFILESIZE HISTSIZE INPUTRC MAILPATH TMOUT UID EUID GID EGID PPID PWD OLDPWD SHLVL "
      "OPTIND OPTARG OPTERR POSIXLY_CORRECT COMSPEC PATHEXT SYSTEMROOT WINDIR _" },
    { "nearly every program, as a place of this user's",
      "HOME USER LOGNAME TMPDIR TMP TEMP TEMPDIR TMPPREFIX XDG_* SUDO_* APPDATA LOCALAPPDATA "
      "USERPROFILE" },
    { "programs that talk to a terminal",
      "TERM TERMINFO TERMINFO_DIRS TERMCAP TERMPATH EDITOR VISUAL PAGER MANPAGER BROWSER LESS "
      "LESSOPEN LESSCLOSE LESSKEY LESSKEYIN DISPLAY WAYLAND_DISPLAY XAUTHORITY" },
    { "Python", "PYTHON* PIP_* VIRTUAL_ENV CONDA_* PYENV_*" },
    { "Perl", "PERL*" },
    { "Ruby", "RUBY* GEM_* BUNDLE_* RACK_OPTIONS RAILS_OPTIONS IRBRC" },
    { "Node.js",
      "NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_REPL_* "
      "NODE_V8_COVERAGE NODE_ICU_DATA NODE_REDIRECT_WARNINGS NODE_USE_ENV_PROXY "
      "NODE_COMPILE_CACHE NODE_CHANNEL_FD NPM_* YARN_* DENO_* BUN_*" },
    { "Java",
      "JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS JAVA_OPTIONS JAVA_OPTS JAVA_HOME "
      "JRE_HOME CLASSPATH CATALINA_* MAVEN_OPTS MAVEN_ARGS GRADLE_OPTS SBT_OPTS JVM_OPTS "
      "ANT_OPTS KAFKA_OPTS JBOSS_*" },
    { "interpreters",
      "PHPRC PHP_INI_* PHP_VALUE PHP_ADMIN_VALUE LUA_PATH* LUA_CPATH* LUA_INIT* TCLLIBPATH "
      "TCL_LIBRARY TK_LIBRARY R_PROFILE* R_ENVIRON* R_LIBS* R_HOME ERL_* ERLC_* ELIXIR_* MIX_* "
      "DOTNET_STARTUP_HOOKS DOTNET_ADDITIONAL_DEPS DOTNET_SHARED_STORE DOTNET_ROOT* "
      "DOTNET_HOST_PATH CORECLR_* COR_PROFILER* COR_ENABLE_PROFILING COMPLUS_* MONO_* GUILE_* "
      "JULIA_* OCAML* CAMLLIB CAMLRUNPARAM GHC_* AWKPATH AWKLIBPATH GAWK_*" },
    { "compilers and builds",
      "MAKEFLAGS MAKEFILES MFLAGS GNUMAKEFLAGS CC CXX CPP CFLAGS CXXFLAGS CPPFLAGS LDFLAGS "
      "COMPILER_PATH GCC_* CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH OBJC_INCLUDE_PATH "
      "LIBRARY_PATH PKG_CONFIG* RUSTC* RUSTFLAGS RUSTDOC* CARGO_* GOFLAGS GOROOT GOPATH GOENV "
      "GODEBUG GOTOOLDIR GOPROXY GONOSUMDB GOINSECURE CGO_* CCACHE_* CMAKE_*" },
    { "programs that start others",
      "GIT_* SSH_ASKPASS* SSH_AUTH_SOCK SSH_AGENT_PID SSH_CONNECTION SSH_SK_* GPG_* GNUPGHOME "
      "PINENTRY_* CVS_RSH CVSEDITOR RSYNC_* RSH SVN_SSH SVN_EDITOR HGRCPATH HGEDITOR "
      "TAR_OPTIONS GZIP BZIP BZIP2 XZ_OPT XZ_DEFAULTS ZIPOPT UNZIP UNZIPOPT ANSIBLE_* "
      "DOCKER_HOST DOCKER_CONFIG DOCKER_TLS* KUBECONFIG DBUS_* SYSTEMD_* SYSTEMCTL_* "
      "JOURNAL_STREAM" },
    { "clients of the network, as a proxy or a certificate",
      "HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY SOCKS_PROXY SOCKS_SERVER WS_PROXY "
      "WSS_PROXY GRPC_PROXY GRPC_DEFAULT_SSL_ROOTS_FILE_PATH CURL_* WGETRC REQUESTS_CA_BUNDLE "
      "SSL_CERT_FILE SSL_CERT_DIR SSLKEYLOGFILE OPENSSL_* GNUTLS_* SSLDIR NETRC KRB5* LDAPCONF "
      "LDAPRC LDAPTLS_* SASL_PATH SASL_CONF_PATH PGSERVICEFILE PGSYSCONFDIR PGPASSFILE PGSSLKEY "
      "PGSSLCERT PGSSLROOTCERT MYSQL_HOME LIBMYSQL_* ODBCINI ODBCSYSINI ODBCINSTINI TNS_ADMIN "
      "ORACLE_HOME AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_CA_BUNDLE" },
    { "libraries that load more of themselves",
      "GTK_* GIO_* GDK_* G_DEBUG G_SLICE G_MESSAGES_DEBUG QT_* QML_* QML2_* GST_PLUGIN_* "
      "GST_REGISTRY* LIBGL_* MESA_* VK_LAYER_* VK_ICD_* VK_DRIVER_* VK_ADD_* EGL_* MAGICK_* "
      "FONTCONFIG_* FREI0R_PATH LADSPA_PATH LV2_PATH ALSA_* P11_* PKCS11_* OPENCV_* VDPAU_* "
      "LIBVA_* OCL_* CUDA_* NLTK_DATA TEXINPUTS TEXMF* XKB_* XLOCALEDIR XCURSOR_PATH" },
    { "programs that a service manager starts",
      "NOTIFY_SOCKET LISTEN_FDS LISTEN_PID LISTEN_FDNAMES LISTEN_PIDFDID WATCHDOG_USEC "
      "WATCHDOG_PID CREDENTIALS_DIRECTORY STATE_DIRECTORY RUNTIME_DIRECTORY "
      "CONFIGURATION_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY INVOCATION_ID MAINPID MANAGERPID "
      "FDSTORE MEMORY_PRESSURE_*" },
    { "Lockstep", "LOCKSTEP_*" },
};

/* Does one of the words, separated by blanks, stand for the name? */
static bool is_among(const char *words, const char *name)
{
    for (const char *at = words; *at; at += strspn(at, " ")) {
        size_t size = strcspn(at, " ");
        bool is_beginning = at[size - 1] == '*';

        if (is_beginning ? strncasecmp(at, name, size - 1) == 0
                         : strlen(name) == size && strncasecmp(at, name, size) == 0)
            return true;
        at += size;
    }
    return false;
}

const char *variable_obeyed_by(const char *name)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (is_among(families[i].names, name))
            return families[i].who;
    return NULL;
}

/* The next word of a list, or NULL. */
static const char *next_word(const char **at, char out[WORD_MAX])
{
    size_t size;

    *at += strspn(*at, " \t,");
    size = strcspn(*at, " \t,");
    if (!size)
        return NULL;
    snprintf(out, WORD_MAX, "%.*s", (int)(size < WORD_MAX ? size : WORD_MAX - 1), *at);
    *at += size;
    return out;
}

bool variable_is_allowed(const char *list, const char *name)
{
    char word[WORD_MAX];

    while (list && next_word(&list, word))
        if (name_matches(word, name))
            return true;
    return false;
}

static bool is_of_names(const char *text, const char *besides)
{
    for (const char *c = text; *c; c++)
        if (!isalpha((unsigned char)*c) && *c != '_' && !(c > text && isdigit((unsigned char)*c)) &&
            !strchr(besides, *c))
            return false;
    return *text;
}

int variable_check_list(const char *list, struct err *e)
{
    char word[WORD_MAX];

    while (next_word(&list, word))
        if (!is_of_names(word, "*?"))
            return err_set(e, ERR_INVALID, "\"%.100s\" is no name of a variable; write names or "
                           "globs like PATH GIT_*, with blanks between them", word);
    return 0;
}

int variable_check_prefix(const char *prefix, struct err *e)
{
    if (is_of_names(prefix, "") && strlen(prefix) <= VARIABLE_PREFIX_MAX)
        return 0;
    return err_set(e, ERR_INVALID, "\"%.100s\" cannot begin the name of a variable: a prefix has "
                   "1 to %d letters, digits and underscores, and no digit first, like APP_", prefix,
                   VARIABLE_PREFIX_MAX);
}
