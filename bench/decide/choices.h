/* The options of these programs, from one table each; and how a program says that the kernel is too
 * old for one of them. */
#ifndef DECIDE_CHOICES_H
#define DECIDE_CHOICES_H

#include "../common.h"

enum { CHOICES_MOST = 24, CHOICE_WORDS_MOST = 6 };

/* An option: a number, if it may have one (most > 0), or one of some words, or else a flag. */
struct choice {
    const char *name;
    unsigned *value; /* of a word its index, of a flag that is given 1 */
    unsigned least, most;
    const char *words[CHOICE_WORDS_MOST];
    const char *what; /* for --help */
};

struct choices_program {
    const char *name, *what;
    const struct choice *tables[2]; /* each until one without a name; the second may be NULL */
    bool listens;                   /* it takes --listen, too */
};

/* bench/decide/decide looks for these words, and leaves the variant out. */
__attribute__((noreturn)) static inline void die_unsupported(const char *program, const char *what)
{
    die(program, EXIT_FAILED, "not supported by this kernel: %s", what);
}

static inline void print_choice_help(const struct choice *choice)
{
    char option[64];
    const char *value = choice->most > 0 ? " N" : choice->words[0] ? " WORD" : "";
    snprintf(option, sizeof option, "--%s%s", choice->name, value);
    printf("  %-20s %s", option, choice->what);
    for (int i = 0; i < CHOICE_WORDS_MOST && choice->words[i]; i++)
        printf("%s%s", i > 0 ? ", " : ": ", choice->words[i]);
    if (choice->words[0])
        printf(" (%s)", choice->words[*choice->value]);
    else if (choice->most > 0)
        printf(" (%u)", *choice->value);
    printf("\n");
}

__attribute__((noreturn)) static inline void print_choices_help(
    const struct choices_program *program)
{
    printf("%s: %s\n\nusage: %s [OPTION...]\n\n", program->name, program->what, program->name);
    if (program->listens)
        printf("  --listen ADDRESS     HOST:PORT or unix:PATH (127.0.0.1:0)\n");
    for (int i = 0; i < 2 && program->tables[i]; i++)
        for (const struct choice *choice = program->tables[i]; choice->name; choice++)
            print_choice_help(choice);
    printf("  --help               this text\n");
    exit(EXIT_OK);
}

static inline void take_choice(const char *program, const struct choice *choice, const char *text)
{
    if (choice->most > 0) {
        *choice->value =
            (unsigned)parse_number(program, choice->name, text, choice->least, choice->most);
        return;
    }
    if (!choice->words[0]) {
        *choice->value = 1;
        return;
    }
    for (unsigned i = 0; i < CHOICE_WORDS_MOST && choice->words[i]; i++) {
        if (strcmp(text, choice->words[i]) == 0) {
            *choice->value = i;
            return;
        }
    }
    die(program, EXIT_USAGE, "--%s does not take '%s'; see --help", choice->name, text);
}

/* Writes the values that the tables point to. What they are before is the default. */
static inline void parse_choices(const struct choices_program *program, int argc, char **argv,
                                 struct address *ret_address)
{
    struct option known[CHOICES_MOST + 3] = { { "help", no_argument, NULL, 'h' },
                                              { "listen", required_argument, NULL, 'l' } };
    const struct choice *choices[CHOICES_MOST];
    const char *listen_text = "127.0.0.1:0";
    int count = 0;
    for (int i = 0; i < 2 && program->tables[i]; i++) {
        for (const struct choice *choice = program->tables[i]; choice->name; choice++) {
            bool flag = choice->most == 0 && !choice->words[0];
            choices[count] = choice;
            known[count + 2] =
                (struct option){ choice->name, flag ? no_argument : required_argument, NULL,
                                 256 + count };
            count++;
        }
    }
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (option == 'h')
            print_choices_help(program);
        else if (option == 'l' && program->listens)
            listen_text = optarg;
        else if (option >= 256)
            take_choice(program->name, choices[option - 256], optarg);
        else
            die(program->name, EXIT_USAGE, "wrong option; see %s --help", program->name);
    }
    if (optind != argc)
        die(program->name, EXIT_USAGE, "unexpected argument '%s'; see --help", argv[optind]);
    if (program->listens && !address_parse(listen_text, ret_address))
        die(program->name, EXIT_USAGE, "'%s' is no HOST:PORT or unix:PATH", listen_text);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, exit_on_signal);
    signal(SIGINT, exit_on_signal);
}

#endif
