# weir's build. `make help` lists the targets and the variables.
#
# Every combination of SAN and TINY has a build directory of its own, so that they never mix; a
# change of compiler or flags rebuilds what is in one. The library's objects are joined into one, in
# which only the names that begin with weir_ stay global, so that no other can collide with a
# program's own; the tests, which look inside, link the objects themselves.

SAN ?=
TINY ?=
V ?=
T ?=
WERROR ?= 1
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
CFLAGS ?= $(if $(SAN),-O1,-O2) -g
OBJCOPY ?= objcopy
CLANG_FORMAT ?=

comma := ,
tiny := $(filter-out 0,$(TINY))
B := build$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(tiny),-tiny)
machine := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
version := $(shell sed -n 's/^.define WEIR_VERSION "\(.*\)"/\1/p' include/weir.h)
soname := libweir.so.0
libs := -luring -lpthread

flags_cpp := -Iinclude -Isrc -D_GNU_SOURCE $(if $(tiny),-DWEIR_TINY) $(CPPFLAGS)
flags_warn := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
              -Wno-unused-parameter $(if $(filter-out 0,$(WERROR)),-Werror)
flags_san := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer \
              -Wno-maybe-uninitialized -Wno-format-truncation)
flags_c := -std=c11 $(flags_warn) -fPIC -fvisibility=hidden -ftls-model=initial-exec -pthread \
           $(flags_san) $(CFLAGS)
flags_ld := -pthread $(flags_san) $(CFLAGS) $(LDFLAGS)

# Of the context switches, the one for this machine.
context := $(or $(wildcard src/task/context_$(machine).S),src/task/context_ucontext.c)
sources := $(filter-out src/task/context_%,$(wildcard src/*/*.c)) $(wildcard $(context))
objects := $(patsubst %,$(B)/obj/%.o,$(basename $(sources)))
tools := $(patsubst tools/%.c,$(B)/bin/%,$(wildcard tools/weir-*.c))
tool_parts := $(patsubst %.c,$(B)/obj/%.o,$(filter-out tools/weir-%,$(wildcard tools/*.c)))
examples := $(patsubst examples/%.c,$(B)/examples/%,$(wildcard examples/*.c))
benches := $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))
test_objects := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/test_*.c tests/harness*.c) \
                $(if $(findstring thread,$(SAN)),tests/tsan_arena.c))
tests := $(B)/tests/weir-tests

Q := $(if $(filter-out 0,$(V)),,@)
say = $(if $(Q),@printf '  %-5s%s\n' $(1) $(2))

.PHONY: all lib programs tests bench-programs help run test check test-one test-tsan bench setup \
        format check-format check-layers check-seam check-install install uninstall clean FORCE
.SECONDARY:
.DELETE_ON_ERROR:

all: lib programs

lib: $(B)/libweir.a $(B)/libweir.so
programs: $(tools) $(examples)
bench-programs: $(benches)
tests: $(tests)
lib programs bench-programs tests:
	@:

help:
	@echo 'Targets:'
	@echo '  all           libweir.a, libweir.so, the tools and the examples, in $(B)/ (the default)'
	@echo '  run           install what is missing, build, serve HTTP, load it, print the numbers'
	@echo '  test          the whole suite: what continuous integration runs'
	@echo '  check         the tests of this build only; check T="reader/*" those that match'
	@echo '  test-one      the same as check'
	@echo '  test-tsan     the tests under ThreadSanitizer'
	@echo '  bench         the benchmarks'
	@echo '  check-format  check-layers  check-seam  check-install   the checks, one by one'
	@echo '  format        run clang-format over the sources'
	@echo '  setup         install all packages that the targets above need'
	@echo '  install       to PREFIX (now $(PREFIX)), under DESTDIR;  uninstall  removes it again'
	@echo '  clean         remove all build directories'
	@echo 'Variables:'
	@echo '  V=1  show the commands            DEPS=skip  never install a package'
	@echo '  SAN=address,undefined  sanitize   TINY=1     tiny limits, to meet every edge in tests'
	@echo '  WERROR=0  warnings do not fail    LOAD_SECONDS=5  how long `make run` loads the server'
	@echo '  CC, CFLAGS, CPPFLAGS, LDFLAGS     as usual; CFLAGS is now: $(CFLAGS)'

# ---- The library ---------------------------------------------------------------------------------

$(B)/weir.o: $(objects)
	$(call say,JOIN,$@)
	$(Q)$(CC) -r -nostdlib -o $@ $(objects)
	$(Q)$(OBJCOPY) --wildcard --keep-global-symbol='weir_*' $@

$(B)/libweir.a: $(B)/weir.o
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $<

$(B)/libweir.so: $(B)/weir.o
	$(call say,LD,$@)
	$(Q)$(CC) -shared -Wl,-soname,$(soname),-z,relro,-z,now$(if $(SAN),,$(comma)-z$(comma)defs) \
	    -o $@ $< $(flags_ld) $(libs)
	$(Q)ln -sf libweir.so $(B)/$(soname)

$(B)/obj/%.o: %.c $(B)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(flags_cpp) $(flags_c) -MMD -MP -c -o $@ $<

$(B)/obj/%.o: %.S $(B)/flags
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(flags_cpp) $(flags_san) $(CFLAGS) -MMD -MP -c -o $@ $<

# Changes when the compiler or its flags do, and then everything is rebuilt. The first time, it asks
# for the one library that all of this stands on.
$(B)/flags: export flags_now = $(CC) $(flags_cpp) $(flags_c) $(LDFLAGS)
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@test -e $@ || tools/setup --have liburing.h $(CC)
	@printf '%s\n' "$$flags_now" | cmp -s - $@ || printf '%s\n' "$$flags_now" >$@

# ---- Programs ------------------------------------------------------------------------------------

link = $(Q)mkdir -p $(@D) && $(CC) -o $@ $(filter %.o %.a,$^) $(flags_ld) $(libs)

$(B)/bin/%: $(B)/obj/tools/%.o $(tool_parts) $(B)/libweir.a
	$(call say,LD,$@)
	$(link)

$(B)/examples/%: $(B)/obj/examples/%.o $(B)/libweir.a
	$(call say,LD,$@)
	$(link)

$(B)/bench/%: $(B)/obj/bench/%.o $(B)/libweir.a
	$(call say,LD,$@)
	$(link)

$(tests): $(test_objects) $(objects)
	$(call say,LD,$@)
	$(link) -lcriterion

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

# ---- Running and testing -------------------------------------------------------------------------

run:
	@tools/run

test:
	@tools/test-all

check test-one: $(tests)
	@tools/criterion $(tests) $(if $(T),--filter '$(T)') $(TEST_FLAGS)

test-tsan:
	@tools/setup test
	@$(MAKE) --no-print-directory check SAN=thread

bench:
	@tools/setup --bench
	@$(MAKE) --no-print-directory all bench-programs
	$(Q)bench/bench $(BENCH_FLAGS)

setup:
	@tools/setup --all

check-format:
	@CLANG_FORMAT='$(CLANG_FORMAT)' tools/check-format

check-layers:
	@tools/check-layers

check-seam: $(objects)
	@tools/check-seam $(objects)

check-install:
	@CC='$(CC)' tools/check-install

format:
	@CLANG_FORMAT='$(CLANG_FORMAT)' tools/check-format --fix

# ---- Installing ----------------------------------------------------------------------------------

$(B)/weir.pc: include/weir.h FORCE
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$(INCLUDEDIR)' '' \
	    'Name: weir' 'Description: asyncio streams for C on Linux, over io_uring' \
	    'Version: $(version)' 'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lweir' \
	    'Libs.private: $(libs)' >$@

install: lib $(B)/weir.pc
	install -d $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 include/weir.h $(DESTDIR)$(INCLUDEDIR)/weir.h
	install -m 644 $(B)/libweir.a $(DESTDIR)$(LIBDIR)/libweir.a
	install -m 755 $(B)/libweir.so $(DESTDIR)$(LIBDIR)/libweir.so.$(version)
	ln -sf libweir.so.$(version) $(DESTDIR)$(LIBDIR)/$(soname)
	ln -sf $(soname) $(DESTDIR)$(LIBDIR)/libweir.so
	install -m 644 $(B)/weir.pc $(DESTDIR)$(LIBDIR)/pkgconfig/weir.pc
	$(if $(DESTDIR),,-test "$$(id -u)" != 0 || ldconfig)

uninstall:
	rm -f $(DESTDIR)$(INCLUDEDIR)/weir.h $(DESTDIR)$(LIBDIR)/libweir.a \
	    $(DESTDIR)$(LIBDIR)/libweir.so $(DESTDIR)$(LIBDIR)/$(soname) \
	    $(DESTDIR)$(LIBDIR)/libweir.so.$(version) $(DESTDIR)$(LIBDIR)/pkgconfig/weir.pc

clean:
	rm -rf build build-*
