# weir's build. `make help` lists the targets and the variables.
#
# Every combination of SAN and TINY has a build directory of its own, so that they never mix; a
# change of compiler or flags rebuilds what is in one. The library's objects are joined into one, in
# which only the names that begin with weir_ stay global, so that no other can collide with a
# program's own; the tests, which look inside, link the objects themselves.
#
# libweir-tls is src/tls alone, and the only one that needs wolfSSL. libweir-sim is libweir's objects
# in a simulated kernel: for tests, and so an archive only.

SAN ?=
TINY ?=
COVERAGE ?=
TLS ?= 1
V ?=
T ?=
WERROR ?= 1
SEEDS ?= 10000
FIRST_SEED ?= 1
SOAK_SECONDS ?= 600
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
CFLAGS ?= $(if $(COVERAGE),-O0,$(if $(SAN),-O1,-O2)) -g
OBJCOPY ?= objcopy
CLANG_FORMAT ?=

comma := ,
tiny := $(filter-out 0,$(TINY))
covers := $(filter-out 0,$(COVERAGE))
B := build$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(tiny),-tiny)$(if $(covers),-coverage)
machine := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
version := $(shell sed -n 's/^.define WEIR_VERSION "\(.*\)"/\1/p' include/weir.h)
names := libweir $(if $(filter-out 0,$(TLS)),libweir-tls)
libs := -luring -lpthread
libs_tls := -lwolfssl -lpthread

flags_cpp := -Iinclude -Isrc -D_GNU_SOURCE $(if $(tiny),-DWEIR_TINY) $(CPPFLAGS)
flags_warn := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
              -Wno-unused-parameter -Wno-cpp $(if $(filter-out 0,$(WERROR)),-Werror)
flags_san := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer \
              -Wno-maybe-uninitialized -Wno-format-truncation)
flags_cover := $(if $(covers),--coverage -fprofile-update=atomic)
flags_c := -std=c11 $(flags_warn) -fPIC -fvisibility=hidden -ftls-model=initial-exec -pthread \
           $(flags_san) $(flags_cover) $(CFLAGS)
flags_ld := -pthread $(flags_san) $(flags_cover) $(CFLAGS) $(LDFLAGS)

# Of the context switches, the one for this machine.
context := $(or $(wildcard src/task/context_$(machine).S),src/task/context_ucontext.c)
sources := $(filter-out src/tls/% src/sim/% src/task/context_%,$(wildcard src/*/*.c)) $(wildcard $(context))
objects := $(patsubst %,$(B)/obj/%.o,$(basename $(sources)))
# Of the implementations of AES-GCM, the one whose header is there; the library is found at run time.
aead := src/tls/aead_$(if $(wildcard /usr/include/intel-ipsec-mb.h),ipsec_mb,none).c
objects_tls := $(patsubst %.c,$(B)/obj/%.o,$(filter-out src/tls/aead_%,$(wildcard src/tls/*.c)) $(aead))
# libweir-sim is the same objects but for the seam, which is simulated.
objects_sim := $(patsubst %.c,$(B)/obj/%.o,$(wildcard src/sim/*.c))
tools := $(patsubst tools/%.c,$(B)/bin/%,$(wildcard tools/weir-*.c))
tool_parts := $(patsubst %.c,$(B)/obj/%.o,$(filter-out tools/weir-%,$(wildcard tools/*.c)))
examples := $(patsubst examples/%.c,$(B)/examples/%,$(wildcard examples/*.c))
sims := $(B)/sim/sim $(B)/sim/kv $(B)/tests/conformance-sim $(B)/tests/conformance-real
benches_tls := $(addprefix $(B)/bench/,load_tls tls_bulk tls_memory)
benches := $(filter-out $(benches_tls),$(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c)))
test_objects := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/test_*.c tests/harness*.c tests/tls_*.c) \
                $(if $(findstring thread,$(SAN)),tests/tsan_arena.c))
tests := $(B)/tests/weir-tests

Q := $(if $(filter-out 0,$(V)),,@)
say = $(if $(Q),@printf '  %-5s%s\n' $(1) $(2))

.PHONY: all lib programs tests bench-programs bench-tls-programs sim-programs certs test-certs help \
        run test check test-one test-tsan sim torture conformance mutants fuzz soak campaigns coverage \
        bench bench-quick bench-decide bench-tls setup format check-format check-layers check-seam \
        check-install install uninstall clean FORCE
.SECONDARY:
.DELETE_ON_ERROR:

all: lib programs

lib: $(foreach name,$(names),$(B)/$(name).a $(B)/$(name).so) $(B)/libweir-sim.a
programs: $(tools) $(examples)
bench-programs: $(benches)
bench-tls-programs: $(benches_tls)
sim-programs: $(sims)
campaigns := $(patsubst %.c,$(B)/%,$(wildcard tests/campaigns/*.c))
tests: $(tests) $(B)/tests/interop-peer $(campaigns) test-certs
lib programs bench-programs bench-tls-programs sim-programs tests:
	@:

help:
	@echo 'Targets:'
	@echo '  all           the libraries, the tools and the examples, in $(B)/ (the default)'
	@echo '  run           install what is missing, build, serve HTTP, load it, print the numbers'
	@echo '  test          the whole suite: what continuous integration runs'
	@echo '  check         the tests of this build only; check T="reader/*" those that match'
	@echo '  test-one      the same as check'
	@echo '  test-tsan     the tests under ThreadSanitizer'
	@echo '  sim           worlds in the simulated kernel: SEEDS=N, FIRST_SEED=N; kept in docs/reliability.md'
	@echo '  torture       each call that can fail, fails;  conformance  the simulated kernel is as Linux'
	@echo '  mutants       planted bugs are found;  fuzz  FUZZ_SECONDS=N;  coverage  by all of the tests'
	@echo '  campaigns     on the real kernel: storms, kills, attacks;  soak  SOAK_SECONDS=N'
	@echo '  bench         all benchmarks, beside other libraries; bench-tls: those of TLS'
	@echo '  bench-quick   a few, compared with what is expected; bench-decide: what the kernel costs'
	@echo '  certs         a certificate authority and certificates for development, in build/certs'
	@echo '  check-format  check-layers  check-seam  check-install   the checks, one by one'
	@echo '  format        run clang-format over the sources'
	@echo '  setup         install all packages that the targets above need'
	@echo '  install       to PREFIX (now $(PREFIX)), under DESTDIR;  uninstall  removes it again'
	@echo '  clean         remove all build directories'
	@echo 'Variables:'
	@echo '  V=1  show the commands            DEPS=skip  never install a package'
	@echo '  SAN=address,undefined  sanitize   TINY=1     tiny limits, to meet every edge in tests'
	@echo '  TLS=0  with `make lib`, `make install`: without libweir-tls, and so without wolfSSL'
	@echo '  WERROR=0  warnings do not fail    LOAD_SECONDS=5  how long `make run` loads the server'
	@echo '  CC, CFLAGS, CPPFLAGS, LDFLAGS     as usual; CFLAGS is now: $(CFLAGS)'

# ---- The library ---------------------------------------------------------------------------------

$(B)/libweir.o: $(objects)
$(B)/libweir-tls.o: $(objects_tls)
$(B)/libweir-sim.o: $(B)/sim/core.o $(objects_sim)
$(B)/libweir-sim.o: more_global := time gettimeofday getrandom
$(B)/libweir.o $(B)/libweir-tls.o $(B)/libweir-sim.o:
	$(call say,JOIN,$@)
	$(Q)$(CC) -r -nostdlib -o $@ $^
	$(Q)$(OBJCOPY) --wildcard --keep-global-symbol='weir_*' \
	    $(addprefix --keep-global-symbol=,$(more_global)) $@

# What the library calls beside the seam, memory and threads, is the simulation's, too.
$(B)/sim/core.o: $(filter-out %/kernel/sys.o,$(objects))
$(B)/sim/tls.o: $(objects_tls)
$(B)/sim/core.o $(B)/sim/tls.o: src/sim/redirect
	$(call say,JOIN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -r -nostdlib -o $@ $(filter %.o,$^)
	$(Q)$(OBJCOPY) --redefine-syms=src/sim/redirect $@

$(B)/%.a: $(B)/%.o
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $<

$(B)/libweir-tls.so: libs := $(libs_tls)
$(B)/%.so: $(B)/%.o
	$(call say,LD,$@)
	$(Q)$(CC) -shared -Wl,-soname,$*.so.0,-z,relro,-z,now$(if $(SAN),,$(comma)-z$(comma)defs) \
	    -o $@ $< $(flags_ld) $(libs)
	$(Q)ln -sf $*.so $(B)/$*.so.0

$(B)/obj/%.o: %.c $(B)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(flags_cpp) $(flags_c) -MMD -MP -c -o $@ $<

$(B)/obj/%.o: %.S $(B)/flags
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(flags_cpp) $(flags_san) $(CFLAGS) -MMD -MP -c -o $@ $<

# Changes when the compiler or its flags do, and then everything is rebuilt. The first time, it asks
# for the libraries that all of this stands on.
$(B)/flags: export flags_now = $(CC) $(flags_cpp) $(flags_c) $(LDFLAGS)
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@test -e $@ || tools/setup --have liburing.h $(CC)
	@test -e $@ -o '$(TLS)' = 0 || tools/setup --have wolfssl/options.h $(CC)
	@printf '%s\n' "$$flags_now" | cmp -s - $@ || printf '%s\n' "$$flags_now" >$@

# ---- Programs ------------------------------------------------------------------------------------

# Of libweir-tls and wolfSSL nothing is in a program that does not use them.
link = $(Q)mkdir -p $(@D) && $(CC) -o $@ $(filter %.o %.a,$^) $(flags_ld) -Wl,--as-needed \
       $(libs_more) $(libs_tls) $(libs)
archives := $(B)/libweir-tls.a $(B)/libweir.a

$(B)/bin/%: $(B)/obj/tools/%.o $(tool_parts) $(archives)
	$(call say,LD,$@)
	$(link)

$(B)/examples/%: $(B)/obj/examples/%.o $(archives)
	$(call say,LD,$@)
	$(link)

$(B)/bench/load_tls: libs_more := -lssl -lcrypto
$(B)/bench/%: $(B)/obj/bench/%.o $(archives)
	$(call say,LD,$@)
	$(link)

$(B)/tests/interop-peer: $(B)/obj/tests/interop_peer.o $(archives)
	$(call say,LD,$@)
	$(link)

$(tests): libs_more := -lcriterion
$(tests): $(test_objects) $(objects) $(objects_tls)
	$(call say,LD,$@)
	$(link)

# A program of scenarios, with libweir-tls's objects in the simulation, too; and one as a user's.
sim_parts := $(B)/sim/core.o $(B)/sim/tls.o $(objects_sim)
$(B)/sim/sim: $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/sim/*.c)) $(sim_parts)
	$(call say,LD,$@)
	$(link)

$(B)/sim/kv: $(B)/obj/tests/kv/sim.o $(B)/obj/tests/kv/server.o $(B)/libweir-sim.a
	$(call say,LD,$@)
	$(link)

$(B)/tests/campaigns/%: $(B)/obj/tests/campaigns/%.o $(archives)
	$(call say,LD,$@)
	$(link)

# The same operations in the simulated kernel and in the real one.
conformance := $(patsubst %.c,$(B)/obj/%.o,$(filter-out %/real.c %/simulated.c,$(wildcard tests/conformance/*.c)))
$(B)/tests/conformance-sim: $(B)/obj/tests/conformance/simulated.o $(conformance) $(sim_parts)
	$(call say,LD,$@)
	$(link)

$(B)/tests/conformance-real: $(B)/obj/tests/conformance/real.o $(conformance) $(objects)
	$(call say,LD,$@)
	$(link)

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

# ---- Running and testing -------------------------------------------------------------------------

run:
	@tools/run

test:
	@tools/test-all

certs:
	@tools/certs

test-certs:
	@tests/certs.sh build/certs-test

check test-one: $(tests) test-certs
	@tools/criterion $(tests) $(if $(T),--filter '$(T)') $(TEST_FLAGS)

test-tsan:
	@tools/setup test
	@$(MAKE) --no-print-directory check SAN=thread

sim:
	@tools/setup test
	@$(MAKE) --no-print-directory $(B)/sim/sim
	$(Q)SIM_BUILD=$(B) $(B)/sim/sim --first $(FIRST_SEED) --seeds $(SEEDS) --ledger docs/reliability.md \
	    --resume $(B)/sim/resume $(SIM_FLAGS)

torture:
	@tools/setup test
	@$(MAKE) --no-print-directory $(B)/sim/sim
	$(Q)$(B)/sim/sim --torture $(SIM_FLAGS)

conformance:
	@tools/setup test
	@$(MAKE) --no-print-directory sim-programs
	$(Q)tests/conformance.sh $(B) $(T)

mutants:
	@tools/setup test
	$(Q)tests/mutants/run $(T)

fuzz:
	@tools/setup fuzz
	$(Q)tests/fuzz/run $(if $(FUZZ_SECONDS),--seconds=$(FUZZ_SECONDS)) $(T)

campaigns:
	@tools/setup test
	@$(MAKE) --no-print-directory all tests
	$(Q)tests/campaigns/run --full $(B) $(T)

soak:
	@tools/setup test
	@$(MAKE) --no-print-directory all tests
	$(Q)tests/soak $(SOAK_SECONDS) $(B)

coverage:
	@tools/coverage

bench:
	@tools/setup --bench-peers
	@$(MAKE) --no-print-directory all bench-programs
	@$(MAKE) --no-print-directory --keep-going -C bench/peers OUT=$(abspath $(B))/bench/peers || \
	    echo 'bench: goes on without the peers that could not be built'
	$(Q)bench/bench $(BENCH_FLAGS)

bench-quick:
	@tools/setup --bench
	@$(MAKE) --no-print-directory all bench-programs
	$(Q)bench/bench --check bench/expectations.json $(BENCH_FLAGS)

bench-decide:
	@tools/setup --bench
	$(Q)bench/decide/decide $(BENCH_FLAGS)

bench-tls:
	@tools/setup --bench-tls
	@$(MAKE) --no-print-directory all bench-tls-programs
	$(Q)bench/bench-tls $(BENCH_FLAGS)

setup:
	@tools/setup --all

check-format:
	@CLANG_FORMAT='$(CLANG_FORMAT)' tools/check-format

check-layers:
	@tools/check-layers

check-seam: $(objects) $(objects_tls)
	@tools/check-seam $(objects)
	@tools/check-seam $(objects_tls)

check-install:
	@CC='$(CC)' tools/check-install

format:
	@CLANG_FORMAT='$(CLANG_FORMAT)' tools/check-format --fix

# ---- Installing ----------------------------------------------------------------------------------

pcs := $(patsubst lib%,$(B)/%.pc,$(names) libweir-sim)
headers := include/weir.h include/weir-sim.h
$(B)/weir.pc: more := 'Name: weir' 'Description: asyncio streams for C on Linux, over io_uring' \
    'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lweir' 'Libs.private: $(libs)'
$(B)/weir-tls.pc: more := 'Name: weir-tls' 'Description: TLS for weir, on wolfSSL' \
    'Requires: weir = $(version)' 'Libs: -L$${libdir} -lweir-tls' 'Libs.private: $(libs_tls)'
$(B)/weir-sim.pc: more := 'Name: weir-sim' 'Description: weir in a simulated kernel, to test with' \
    'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lweir-sim $(libs)'
$(pcs): include/weir.h FORCE
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$(INCLUDEDIR)' '' \
	    'Version: $(version)' $(more) >$@

define install_library
	install -m 644 $(B)/$(1).a $(DESTDIR)$(LIBDIR)/$(1).a
	install -m 755 $(B)/$(1).so $(DESTDIR)$(LIBDIR)/$(1).so.$(version)
	ln -sf $(1).so.$(version) $(DESTDIR)$(LIBDIR)/$(1).so.0
	ln -sf $(1).so.0 $(DESTDIR)$(LIBDIR)/$(1).so

endef

install: lib $(pcs)
	install -d $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 $(headers) $(DESTDIR)$(INCLUDEDIR)
	install -m 644 $(B)/libweir-sim.a $(DESTDIR)$(LIBDIR)/libweir-sim.a
	$(foreach name,$(names),$(call install_library,$(name)))
	install -m 644 $(pcs) $(DESTDIR)$(LIBDIR)/pkgconfig
	$(if $(DESTDIR),,-test "$$(id -u)" != 0 || ldconfig)

uninstall:
	rm -f $(headers:include/%=$(DESTDIR)$(INCLUDEDIR)/%) $(addprefix $(DESTDIR)$(LIBDIR)/, \
	    $(foreach name,$(names) libweir-sim, \
	    $(addprefix $(name).,a so so.0 so.$(version)) pkgconfig/$(name:lib%=%).pc))

clean:
	rm -rf build build-*
