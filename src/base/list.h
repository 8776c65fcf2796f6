/* An intrusive doubly linked list; a zeroed list is empty, a zeroed node is in none. */
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A node knows its list, so that whoever waits in one can leave it without knowing which. */
struct list_node {
    struct list_node *next, *previous;
    struct list *list;
};

struct list {
    struct list_node *first, *last;
};

static inline bool list_is_empty(const struct list *list)
{
    return list->first == NULL;
}

static inline bool list_holds(const struct list_node *node)
{
    return node->list != NULL;
}

static inline void list_append(struct list *list, struct list_node *node)
{
    node->list = list;
    node->next = NULL;
    node->previous = list->last;
    if (list->last != NULL)
        list->last->next = node;
    else
        list->first = node;
    list->last = node;
}

static inline void list_prepend(struct list *list, struct list_node *node)
{
    node->list = list;
    node->previous = NULL;
    node->next = list->first;
    if (list->first != NULL)
        list->first->previous = node;
    else
        list->last = node;
    list->first = node;
}

/* Takes `node` out of the list it is in, if any. */
static inline void list_remove(struct list_node *node)
{
    struct list *list = node->list;
    if (list == NULL)
        return;
    if (node->previous != NULL)
        node->previous->next = node->next;
    else
        list->first = node->next;
    if (node->next != NULL)
        node->next->previous = node->previous;
    else
        list->last = node->previous;
    node->list = NULL;
}

/* Takes out and returns the first node, or NULL. */
static inline struct list_node *list_take_first(struct list *list)
{
    struct list_node *node = list->first;
    if (node != NULL)
        list_remove(node);
    return node;
}

#endif
