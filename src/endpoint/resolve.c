#include "endpoint/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

#include "base/limits.h"
#include "base/macros.h"
#include "kernel/sys.h"
#include "task/loop.h"
#include "task/mailbox.h"
#include "task/worker.h"

static struct workers names = WORKERS(LIMIT_WORKERS);

/* Owned by the helper thread until delivered, then by the loop; the waiter may have gone by
 * then, or be about to: interrupted, but not resumed yet. */
struct query {
    struct job job;
    struct message message;
    struct mailbox *mailbox;
    struct wait *waiter;
    struct addrinfo hints;
    struct addrinfo *addresses;
    char service[8];
    int result;
    bool delivered;
    char host[];
};

static void query_free(struct query *query)
{
    if (query->addresses != NULL)
        sys_resolve_free(query->addresses);
    mailbox_drop(query->mailbox);
    free(query);
}

static void discard(struct message *message)
{
    query_free(container_of(message, struct query, message));
}

static void deliver(struct message *message)
{
    struct query *query = container_of(message, struct query, message);
    query->delivered = true;
    if (query->waiter != NULL)
        wait_wake(query->waiter, 0);
    else
        query_free(query);
}

static void work(struct job *job)
{
    struct query *query = container_of(job, struct query, job);
    query->result = sys_resolve(query->host, query->service, &query->hints, &query->addresses);
    mailbox_post(query->mailbox, &query->message);
}

static int query_new(const char *host, const char *service, const struct addrinfo *hints,
                     struct query **ret_query)
{
    struct query *query = calloc(1, sizeof *query + strlen(host) + 1);
    if (query == NULL)
        return -ENOMEM;
    query->job.work = work;
    query->message.deliver = deliver;
    query->message.discard = discard;
    query->hints = *hints;
    strcpy(query->host, host);
    strcpy(query->service, service);
    int rc = mailbox_hold(loop_this(), &query->mailbox);
    if (rc < 0) {
        free(query);
        return rc;
    }
    *ret_query = query;
    return 0;
}

static int resolve_name(const char *host, const char *service, const struct addrinfo *hints,
                        struct addrinfo **ret_addresses)
{
    struct query *query;
    int rc = query_new(host, service, hints, &query);
    if (rc < 0)
        return rc;
    struct wait wait = { 0 };
    query->waiter = &wait;
    rc = task_interrupted(task_current());
    if (rc == 0)
        rc = workers_run(&names, &query->job);
    if (rc < 0) {
        query_free(query);
        return rc;
    }
    rc = wait_suspend(&wait, NULL);
    if (rc < 0) {
        query->waiter = NULL; /* deliver() frees it */
        if (query->delivered)
            query_free(query);
        return rc;
    }
    rc = query->result;
    if (rc == 0) {
        *ret_addresses = query->addresses;
        query->addresses = NULL;
    }
    query_free(query);
    return rc;
}

int resolve(const char *host, uint16_t port, const struct addrinfo *hints,
            struct addrinfo **ret_addresses)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    if (host != NULL && host[0] == '\0')
        host = NULL;
    struct addrinfo literal = *hints;
    literal.ai_socktype = SOCK_STREAM;
    literal.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
    *ret_addresses = NULL;
    int rc = sys_resolve(host, service, &literal, ret_addresses);
    if (rc != WEIR_UNRESOLVED || host == NULL)
        return rc;
    literal.ai_flags = hints->ai_flags | AI_NUMERICSERV;
    return resolve_name(host, service, &literal, ret_addresses);
}

/* ---- Interleaving ---------------------------------------------------------------------------- */

static const struct addrinfo *next_of(const struct addrinfo *address, int family, bool same)
{
    while (address != NULL && (address->ai_family == family) != same)
        address = address->ai_next;
    return address;
}

unsigned resolve_interleave(const struct addrinfo *addresses, unsigned first,
                            const struct addrinfo **ret_order, unsigned most)
{
    int family = addresses->ai_family; /* there are two: IPv4 and IPv6 */
    const struct addrinfo *mine = addresses;
    const struct addrinfo *other = next_of(addresses, family, false);
    unsigned count = 0, run = first;
    while (count < most && (mine != NULL || other != NULL)) {
        bool take_mine = mine != NULL && (run > 0 || other == NULL);
        const struct addrinfo **from = take_mine ? &mine : &other;
        ret_order[count++] = *from;
        *from = next_of((*from)->ai_next, family, take_mine);
        run = take_mine ? run - (run > 0) : 1;
    }
    return count;
}
