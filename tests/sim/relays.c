/* What passes through to many: a chat room, whose members all hear what each of them says. */
#include <stdio.h>
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

/* ---- The chat room --------------------------------------------------------------------------- */

enum { MEMBERS = 8, MESSAGES = 10, LENGTH = 2000 };

/* What a member has heard of each of them: numbers without a gap. */
struct member {
    unsigned heard[MEMBERS];
    unsigned said;
};

static struct {
    struct member members[MEMBERS];
    struct weir_writer *writers[MEMBERS]; /* of those that are in the room */
    struct weir_event all_in, all_said;
    unsigned expected, in, said;
} room;

static void count_in(void)
{
    if (++room.in == room.expected)
        weir_event_set(&room.all_in);
}

static void count_said(void)
{
    if (++room.said == room.expected)
        weir_event_set(&room.all_said);
}

/* Each hears it from the same memory. Who cannot be told is shown out: a gap would be worse. */
static void tell_all(struct weir_slice line)
{
    struct weir_slice kept = weir_slice_keep(line);
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (room.writers[i] == NULL)
            continue;
        int rc = weir_write_slice(room.writers[i], kept);
        if (rc < 0) {
            weir_sim_check(weir_sim_faults() > 0);
            weir_abort(room.writers[i]);
        }
    }
    weir_slice_drop(kept);
}

/* A member: heard to its end, and in the room until all have said what they had to. */
static int host_member(struct end *end)
{
    struct weir_slice line;
    ssize_t n;
    while ((n = end_line(end, &line)) > 0) {
        if (line.data[n - 1] == '\n')
            tell_all(line);
        else
            weir_sim_check(weir_sim_faults() > 0);
    }
    return (int)n;
}

static void member_handler(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    struct talk *talk;
    (void)unused;
    if (talk_accept(reader, writer, &end, &talk) < 0)
        return;
    end_break(&end);                 /* lines are what is checked here */
    if (talk->id >= room.expected) { /* it comes later, to see that the room is still open */
        end_put(&end, "late\n", 5);
        end_close(&end);
        return;
    }
    room.writers[talk->id] = writer;
    int rc = end_put(&end, "in\n", 3);
    if (rc == 0)
        rc = host_member(&end);
    count_said();
    if (rc == 0)
        rc = weir_event_wait(&room.all_said);
    room.writers[talk->id] = NULL;
    if (rc < 0)
        weir_abort(writer);
    end_close(&end);
}

/* "<who> <number> ...\n" */
static bool hear(struct member *self, struct weir_slice line)
{
    char text[32] = { 0 };
    unsigned who, number;
    if (line.data[line.size - 1] != '\n')
        return false;
    memcpy(text, line.data, line.size < 31 ? line.size : 31);
    weir_sim_check(sscanf(text, "%u %u ", &who, &number) == 2 && who < room.expected);
    weir_sim_check(number == self->heard[who]);
    weir_sim_check(line.size == 8 + (who * 997 + number * 331) % LENGTH);
    for (size_t i = 7; i + 1 < line.size; i++)
        weir_sim_check(line.data[i] == (char)('a' + (who + number + i) % 26));
    self->heard[who]++;
    return true;
}

static int say(struct end *end, unsigned who, unsigned number)
{
    char text[LENGTH + 8];
    size_t size = 8 + (who * 997 + number * 331) % LENGTH;
    snprintf(text, sizeof text, "%2u %3u ", who, number);
    for (size_t i = 7; i + 1 < size; i++)
        text[i] = (char)('a' + (who + number + i) % 26);
    text[size - 1] = '\n';
    int rc = nap(4, "pause between messages");
    return rc < 0 ? rc : end_put(end, text, size);
}

struct speaker {
    struct end *end;
    unsigned who;
};

static int speak(void *argument)
{
    struct speaker *speaker = argument;
    struct member *self = &room.members[speaker->who];
    unsigned count = weir_sim_choose(MESSAGES + 1, "how many messages");
    int rc = weir_event_wait(&room.all_in);
    while (rc == 0 && self->said < count) {
        rc = say(speaker->end, speaker->who, self->said);
        self->said += rc == 0;
    }
    return rc == 0 ? end_finish(speaker->end) : rc;
}

static int listen_to_all(struct end *end, struct member *self)
{
    struct weir_slice line;
    ssize_t n;
    while ((n = end_line(end, &line)) > 0) {
        if (!hear(self, line))
            weir_sim_check(weir_sim_faults() > 0); /* broken off in the middle */
        int rc = nap(end->slow, "pause of a listener");
        if (rc < 0)
            return rc;
    }
    return (int)n;
}

static int take_part(struct end *end, unsigned who)
{
    struct weir_group group = { 0 };
    struct speaker speaker = { end, who };
    int rc = excuse(NULL, weir_group_start(&group, speak, &speaker), "group_start");
    if (rc < 0)
        return rc;
    rc = listen_to_all(end, &room.members[who]);
    if (rc < 0)
        weir_group_cancel(&group);
    int spoken = weir_group_wait(&group);
    return rc < 0 ? rc : spoken;
}

static int late_member(struct talk *talk)
{
    struct end end;
    struct weir_slice line;
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return rc;
    end_break(&end);
    ssize_t n = end_line(&end, &line);
    bool greeted = n == 5 && memcmp(line.data, "late\n", 5) == 0;
    end_close(&end);
    return greeted ? 0 : -EPROTO;
}

static int member_client(void *argument)
{
    struct talk *talk = argument;
    struct end end;
    struct weir_slice line;
    if (talk->id >= room.expected)
        return late_member(talk);
    int rc = talk_connect(talk, &end, NULL);
    if (rc == 0) {
        end_break(&end);
        end.slow = weir_sim_choose(2, "a slow member") * 20;
        ssize_t n = end_line(&end, &line);
        rc = n == 3 && memcmp(line.data, "in\n", 3) == 0 ? 0 : -EPROTO;
        weir_sim_check(rc == 0 || weir_sim_faults() > 0);
    }
    count_in();
    if (rc < 0) {
        count_said(); /* nobody else can tell of it */
        return rc;
    }
    rc = take_part(&end, talk->id);
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

/* Without faults all have heard all. The members' own group has ended by now. */
static void check_room(void)
{
    for (unsigned i = 0; i < room.expected; i++) {
        for (unsigned j = 0; j < room.expected; j++) {
            unsigned heard = room.members[i].heard[j], said = room.members[j].said;
            weir_sim_check(heard <= said + 1); /* what failed may have left all the same */
            if (weir_sim_faults() == 0)
                weir_sim_check(heard == said);
        }
    }
}

int scenario_broadcast(void *unused)
{
    (void)unused;
    scene_begin(member_client);
    memset(&room, 0, sizeof room);
    room.expected = 2 + weir_sim_choose(MEMBERS - 1, "how many members");
    if (scene_serve(member_handler, NULL) < 0)
        return 0;
    scene_clients(room.expected);
    check_room();
    room.expected = 0; /* who comes now is late */
    weir_event_set(&room.all_said);
    return scene_end();
}
