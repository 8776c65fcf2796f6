/* An intrusive doubly linked list: a ring of nodes through the list's own. A zeroed list is empty,
 * a zeroed node is in none. A node can leave without knowing which list it is in. */
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next, *previous;
};

/* Not to be copied or moved while it has nodes: the first and the last point to it. */
struct list {
    struct list_node ends;
};

static inline bool list_is_empty(const struct list *list)
{
    return list->ends.next == NULL;
}

static inline bool list_holds(const struct list_node *node)
{
    return node->next != NULL;
}

static inline struct list_node *list_first(const struct list *list)
{
    return list->ends.next;
}

static inline struct list_node *list_last(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->ends.previous;
}

/* The one behind `node`, or NULL. */
static inline struct list_node *list_next(const struct list *list, const struct list_node *node)
{
    return node->next == &list->ends ? NULL : node->next;
}

static inline void list_append(struct list *list, struct list_node *node)
{
    struct list_node *ends = &list->ends;
    if (ends->next == NULL)
        ends->next = ends->previous = ends;
    node->next = ends;
    node->previous = ends->previous;
    ends->previous->next = node;
    ends->previous = node;
}

/* Takes `node` out of the list it is in, if any. An empty list is as if zeroed again. */
static inline void list_remove(struct list_node *node)
{
    struct list_node *next = node->next, *previous = node->previous;
    if (next == NULL)
        return;
    previous->next = next;
    next->previous = previous;
    if (next == previous) /* both are the list's own: it was the only one */
        next->next = NULL;
    node->next = NULL;
}

/* Takes out and returns the first node, or NULL. */
static inline struct list_node *list_take_first(struct list *list)
{
    struct list_node *node = list_first(list);
    if (node != NULL)
        list_remove(node);
    return node;
}

#endif
