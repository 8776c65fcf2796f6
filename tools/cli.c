/* The common half of weir's command-line servers: TLS, listening, announcing, ending, metrics. */
#include "cli.h"

#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- TLS ------------------------------------------------------------------------------------- */

/* Says which file cannot be read; what is wrong inside one is for weir_tls_server() to find. */
static bool readable(const struct cli_tool *tool, const char *file)
{
    if (file == NULL || access(file, R_OK) == 0)
        return true;
    fprintf(stderr, "%s: cannot read %s: %s\n", tool->name, file, weir_strerror(-errno));
    return false;
}

static void complain_of_files(const struct settings *settings, const char *what, int error)
{
    const struct weir_tls_options *options = &settings->tls_options;
    const char *authorities = options->ca_file;
    fprintf(stderr, "%s: %s certificate %s, key %s%s%s: %s\n", settings->tool->name, what,
            options->certificate_file, options->key_file, authorities ? ", authorities " : "",
            authorities ? authorities : "", weir_strerror(error));
}

/* Makes the context, if there is to be one. Returns -1 to go on, or the status to exit with. */
static int open_tls(struct settings *settings)
{
    const struct cli_tool *tool = settings->tool;
    struct weir_tls_options *options = &settings->tls_options;
    if (options->certificate_file == NULL) {
        if (options->key_file == NULL && options->ca_file == NULL && options->minimum_version == 0)
            return -1;
        fprintf(stderr, "%s: the other --tls options need --tls-cert (see --help)\n", tool->name);
        return 2;
    }
    if (options->key_file == NULL)
        options->key_file = options->certificate_file;
    if (!readable(tool, options->certificate_file) || !readable(tool, options->key_file) ||
        !readable(tool, options->ca_file))
        return EXIT_FAILURE;

    int rc = weir_tls_server(options, &settings->tls);
    if (rc < 0)
        complain_of_files(settings, "cannot use", rc);
    signal(SIGHUP, SIG_IGN); /* but for the task that waits for it */
    return rc < 0 ? EXIT_FAILURE : -1;
}

static int reload(void *argument)
{
    const struct settings *settings = argument;
    return weir_tls_reload(settings->tls);
}

struct hangups {
    struct settings *settings;
    struct weir_event event;
};

static int reload_after_hangups(void *argument)
{
    struct hangups *hangups = argument;
    while (weir_event_wait(&hangups->event) == 0) {
        weir_event_clear(&hangups->event);
        int rc = weir_to_thread(reload, hangups->settings);
        if (rc < 0)
            complain_of_files(hangups->settings, "goes on as before: cannot reload", rc);
        else
            printf("%s: certificates reloaded\n", hangups->settings->tool->name);
        fflush(stdout);
    }
    return 0;
}

/* Two tasks, since a signal is caught only while somebody waits for it. One between two waits is
 * lost, and does no harm: the reloading that the former asks for has not begun yet. */
static int watch_hangups(struct settings *settings)
{
    struct hangups hangups = { .settings = settings };
    struct weir_group group = { 0 };
    int rc = weir_group_start(&group, reload_after_hangups, &hangups);
    while (rc == 0 && weir_wait_signal(SIGHUP, 0) > 0)
        weir_event_set(&hangups.event);
    weir_group_cancel(&group);
    return weir_group_wait(&group);
}

/* ---- Metrics --------------------------------------------------------------------------------- */

/* Each thread's counters can be had in that thread only, and while it runs. */
static void add_metrics(struct settings *settings)
{
    union metrics now;
    weir_get_metrics(&now.metrics);
    flockfile(stdout);
    for (int i = 0; i < METRIC_COUNT; i++)
        settings->sum.counters[i] += now.counters[i];
    settings->accepted[settings->threads_ended++] = now.metrics.connections_accepted;
    funlockfile(stdout);
}

static void print_metrics(struct settings *settings)
{
    metrics_print(&settings->sum);
    for (unsigned i = 0; i < settings->threads_ended; i++)
        printf("%s%" PRIu64, i == 0 ? ", \"accepted_by_thread\": [" : ", ", settings->accepted[i]);
    printf("]}\n");
}

/* ---- Serving --------------------------------------------------------------------------------- */

/* One thread's: the server at each of the addresses. */
struct listeners {
    struct settings *settings;
    struct weir_server *servers[MAX_ADDRESSES];
};

static int listen_at(struct listeners *listeners, size_t index)
{
    const struct settings *settings = listeners->settings;
    const struct address *address = &settings->addresses[index];
    struct weir_server_options options = {
        .limit = settings->tool->limit,
        .tls = settings->tls,
        .backlog = SOMAXCONN,
    };
    weir_client_connected_fn *connected = settings->tool->client_connected;
    if (address->path)
        return weir_start_unix_server(connected, NULL, address->path, &options,
                                      &listeners->servers[index]);
    return weir_start_server(connected, NULL, address->host, address->port, &options,
                             &listeners->servers[index]);
}

static int listen_at_all(struct listeners *listeners)
{
    struct settings *settings = listeners->settings;
    for (size_t i = 0; i < settings->address_count; i++) {
        int rc = listen_at(listeners, i);
        if (rc < 0) {
            flockfile(stderr); /* no thread exits before it is told, and told once */
            if (!settings->failure_told)
                fprintf(stderr, "%s: cannot listen on %s: %s\n", settings->tool->name,
                        settings->addresses[i].text, weir_strerror(rc));
            settings->failure_told = true;
            funlockfile(stderr);
            return rc;
        }
    }
    return 0;
}

/* Says where we listen, in the last thread to get so far: whoever reads it may then connect, and
 * may send the signal, without being too early for any thread. That thread minds SIGHUP, too. */
static int announce(void *argument)
{
    const struct listeners *listeners = argument;
    struct settings *settings = listeners->settings;
    const char *scheme = settings->tls ? settings->tool->tls_scheme : "";
    if (atomic_fetch_add(&settings->threads_waiting, 1) + 1 < settings->threads)
        return 0;

    for (size_t i = 0; i < settings->address_count; i++) {
        const struct weir_server *server = listeners->servers[i];
        const char *name = settings->addresses[i].text;
        if (settings->addresses[i].path)
            printf("%s: listening on %s\n", settings->tool->name, name);
        else
            for (size_t k = 0; (name = weir_server_sockname(server, k)) != NULL; k++)
                printf("%s: listening on %s%s\n", settings->tool->name, scheme, name);
    }
    fflush(stdout);
    return settings->tls ? watch_hangups(settings) : 0;
}

struct ending {
    struct weir_server *server;
    weir_duration grace;
};

static int end_server(void *argument)
{
    const struct ending *ending = argument;
    weir_server_shutdown(ending->server, ending->grace);
    return 0; /* that clients had to be cut off is no failure of ours */
}

static void end_all(const struct listeners *listeners, weir_duration grace)
{
    struct weir_group group = { 0 };
    struct ending endings[MAX_ADDRESSES];
    for (size_t i = 0; i < MAX_ADDRESSES; i++) {
        if (listeners->servers[i] == NULL)
            continue;
        weir_server_close(listeners->servers[i]);
        endings[i] = (struct ending){ listeners->servers[i], grace };
        if (weir_group_start(&group, end_server, &endings[i]) < 0)
            end_server(&endings[i]);
    }
    weir_group_wait(&group);
}

/* What each thread runs. */
static int serve(void *argument)
{
    struct settings *settings = argument;
    struct listeners listeners = { .settings = settings };
    int rc = listen_at_all(&listeners);
    if (rc < 0) {
        end_all(&listeners, 0);
        if (settings->threads > 1)
            _exit(EXIT_FAILURE); /* the other threads may be serving */
        return rc;
    }

    struct weir_group group = { 0 };
    rc = weir_group_start(&group, announce, &listeners); /* runs once this task waits */
    int signal_number = rc < 0 ? rc : weir_wait_signal(SIGINT, SIGTERM);
    weir_group_cancel(&group);
    weir_group_wait(&group);
    end_all(&listeners, signal_number < 0 ? 0 : settings->grace);
    add_metrics(settings);
    return signal_number < 0 ? signal_number : 0;
}

int cli_main(const struct cli_tool *tool, int argc, char **argv)
{
    struct settings settings = { .tool = tool, .threads = 1, .grace = 5 * WEIR_SECOND };
    int status = options_parse(&settings, argv, argc);
    if (status < 0)
        status = open_tls(&settings);
    if (status >= 0)
        return status;

    int rc = weir_run(serve, &settings, &(struct weir_run_options){ .threads = settings.threads });
    if (rc < 0 && !settings.failure_told)
        fprintf(stderr, "%s: %s\n", tool->name, weir_strerror(rc));
    if (rc == 0 && settings.metrics)
        print_metrics(&settings);
    weir_tls_free(settings.tls);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
