# CC, CFLAGS, LDFLAGS, PREFIX and DESTDIR are yours to set:
#	make CC=clang CFLAGS='-O3 -g'
# Where a compiler or a system lacks some of the hardening below, empty it:
#	make HARDEN= HARDEN_LD=
.POSIX:

CC = cc
CFLAGS = -O2 $(FORTIFY)
LDFLAGS =
PREFIX = /usr/local
DESTDIR =

# Apart from HARDEN because it goes with optimization alone.
FORTIFY = -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
HARDEN = -fstack-protector-strong -fstack-clash-protection -fPIE
HARDEN_Z = -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
HARDEN_LD = -pie $(HARDEN_Z)

# Optimization across files, for compilers that have it: make LTO=-flto
LTO =

OUR_CFLAGS = -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wshadow \
	-Wconversion -Wpedantic -Wstrict-prototypes -Wmissing-prototypes -I.
ALL_CFLAGS = $(OUR_CFLAGS) $(HARDEN) $(CFLAGS) $(LTO)
ALL_LDFLAGS = $(HARDEN_LD) $(LDFLAGS)
SAN_FLAGS = -DAUDIT -O1 -g -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=all

# A static program of musl is the smaller one: an installed musl-gcc is taken
# unless another compiler is asked for.
STATIC_CC = $$(if [ '$(CC)' = cc ]; then command -v musl-gcc || echo cc; \
	else echo '$(CC)'; fi)
STATIC_FLAGS = -ffunction-sections -fdata-sections -s -Wl,--gc-sections \
	-Wl,--build-id=none -fno-asynchronous-unwind-tables

FUZZ_CC = clang
FUZZ_RUNS = 20000
FUZZ_FLAGS = -g -O1 -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=all

CODECS = json.c http.c hmac.c ws.c
# The engine's rooms, ground floor first.
ROOMS = gate/say.c gate/clock.c gate/list.c gate/mem.c gate/timer.c \
	gate/park.c gate/pollset.c gate/addr.c gate/net.c gate/conn.c gate/loop.c \
	gate/child.c gate/listener.c gate/supervisor.c gate/guest.c gate/url.c gate/cookie.c \
	gate/proxied.c gate/settings.c gate/revoked.c gate/domain.c gate/route.c \
	gate/path.c gate/credit.c gate/account.c gate/link.c gate/standing.c \
	gate/stream.c gate/to_link.c gate/from_link.c gate/v2.c gate/held.c \
	gate/journal.c gate/reply.c gate/pin.c gate/tunnel.c gate/notice.c \
	gate/admin.c gate/stray.c gate/answer.c gate/v1_answer.c gate/join.c gate/person.c gate/lasting.c \
	gate/helper.c gate/carrier.c gate/listens.c gate/target.c gate/guise.c gate/lock.c gate/rewrite.c \
	gate/origin.c gate/fetch.c gate/v1_request.c gate/v2_request.c gate/yield.c \
	gate/caller.c gate/arrival.c gate/uplink.c gate/dial.c gate/server.c \
	gate/client.c gate/welcome.c
HEADERS = pipegate.h $(ROOMS:.c=.h)
SRC = pipegate.c $(CODECS) $(ROOMS)
OBJ = $(SRC:.c=.o)
UNIT = tests/unit.c tests/unit_json.c tests/unit_http.c tests/unit_hmac.c \
	tests/unit_ws.c tests/unit_list.c tests/unit_mem.c tests/unit_timer.c \
	tests/unit_pollset.c tests/unit_addr.c tests/unit_url.c \
	tests/unit_domain.c tests/unit_proxied.c tests/unit_lock.c \
	tests/unit_say.c tests/unit_credit.c tests/unit_account.c \
	tests/unit_conn.c \
	tests/unit_stream.c
FUZZ = tests/fuzz.c tests/fuzz_json.c tests/fuzz_http.c tests/fuzz_hmac.c \
	tests/fuzz_ws.c tests/fuzz_proxied.c tests/fuzz_lock.c \
	tests/fuzz_credit.c tests/fuzz_link.c

.SUFFIXES: .c .o

all: pipegate

pipegate: $(OBJ)
	$(CC) $(ALL_CFLAGS) -o $@ $(OBJ) $(ALL_LDFLAGS)

$(OBJ): $(HEADERS) Makefile

.c.o:
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

demo: pipegate
	@sh contrib/demo.sh

# T=pattern chooses, here and in the environment: make test T=http.keep
test: pipegate
	@sh test.sh

# The inner loop, within half a minute: unit tests, one scenario of each kind.
check: pipegate
	@QUICK=1 sh test.sh

soak: pipegate
	@LONG=1 sh test.sh

# Which frameworks work behind the tunnel in a browser, as a table.
apps: pipegate
	@python3 tests/apps.py

# Each of the following compiles all of its sources in one command into a file
# of its own, so that objects made with other flags never mix in.
build/unit: $(UNIT) $(CODECS) $(ROOMS) $(HEADERS) tests/check.h Makefile
	@mkdir -p build
	$(CC) $(ALL_CFLAGS) -o $@ $(UNIT) $(CODECS) $(ROOMS) $(ALL_LDFLAGS)

# What the program is where the kernel keeps no ready set.
build/unit-poll: $(UNIT) $(CODECS) $(ROOMS) $(HEADERS) tests/check.h Makefile
	@mkdir -p build
	$(CC) $(ALL_CFLAGS) -DPARK_POLL -o $@ $(UNIT) $(CODECS) $(ROOMS) $(ALL_LDFLAGS)

build/pipegate-poll: $(SRC) $(HEADERS) Makefile
	@mkdir -p build
	$(CC) $(ALL_CFLAGS) -DPARK_POLL -o $@ $(SRC) $(ALL_LDFLAGS)

build/unit-san: $(UNIT) $(CODECS) $(ROOMS) $(HEADERS) tests/check.h Makefile
	@mkdir -p build
	$(CC) $(OUR_CFLAGS) $(SAN_FLAGS) -o $@ $(UNIT) $(CODECS) $(ROOMS)

build/pipegate-san: $(SRC) $(HEADERS) Makefile
	@mkdir -p build
	$(CC) $(OUR_CFLAGS) $(SAN_FLAGS) -o $@ $(SRC)

# One whose links run out of numbers soon, for the scenarios.
build/pipegate-few: $(SRC) $(HEADERS) Makefile
	@mkdir -p build
	$(CC) $(OUR_CFLAGS) -O1 -DV2_NUMBER_MAX=5 -o $@ $(SRC)

# A long, narrow wire for the scenarios.
build/echo: tests/echo.c $(SRC) $(HEADERS) Makefile
	@mkdir -p build
	$(CC) $(ALL_CFLAGS) -o $@ tests/echo.c $(ROOMS) $(CODECS) $(ALL_LDFLAGS)

build/relay: tests/relay.c Makefile
	@mkdir -p build
	$(CC) $(ALL_CFLAGS) -o $@ tests/relay.c $(ALL_LDFLAGS)

# Counts turns of the loop, for the scenarios.
build/calls.so: tests/calls.c Makefile
	@mkdir -p build
	$(CC) -Wall -Wextra -O2 -fPIC -shared -o $@ tests/calls.c

# Answers look-ups, or holds them, for the scenarios.
build/names.so: tests/names.c Makefile
	@mkdir -p build
	$(CC) -Wall -Wextra -O2 -fPIC -shared -o $@ tests/names.c

# Puts the program's clock ahead, for the scenarios.
build/clock.so: tests/clock.c Makefile
	@mkdir -p build
	$(CC) -Wall -Wextra -O2 -fPIC -shared -o $@ tests/clock.c

# A preloaded library that makes calls of the program fail.
build/inject.so: tests/inject.c Makefile
	@mkdir -p build
	$(CC) $(OUR_CFLAGS) -O2 -fPIC -shared -o $@ tests/inject.c -ldl

san: build/pipegate-san build/unit-san
	./build/unit-san

build/fuzz: $(FUZZ) $(SRC) $(HEADERS) Makefile
	@mkdir -p build
	$(FUZZ_CC) $(OUR_CFLAGS) $(FUZZ_FLAGS) -o $@ $(FUZZ) $(ROOMS) $(CODECS)

fuzz: build/fuzz
	@sh tests/fuzz.sh $(FUZZ_RUNS)

# Made anew each time, by whichever CC is given.
static: $(SRC) $(HEADERS)
	@sh contrib/static.sh pipegate-static "$(SRC)" $(STATIC_CC) $(ALL_CFLAGS) \
	    $(STATIC_FLAGS) $(HARDEN_Z) -ffile-prefix-map="$$PWD"=. $(LDFLAGS)

# Lines and branches that unit tests and scenarios run, by file; wants gcc.
coverage:
	@python3 tests/coverage.py "$(SRC)" "$(UNIT)" $(CC) $(OUR_CFLAGS)

# -fno-lto: what a room calls is to be seen in its object.
floors: $(OBJ)
	@sh tests/floors.sh "$(CODECS:.c=.o)" "$(ROOMS:.c=.o)" pipegate.o \
	    $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)

lint: floors
	cppcheck --quiet --std=c99 --error-exitcode=1 --inline-suppr \
	    --enable=warning,performance,portability \
	    --suppress=missingIncludeSystem -D_POSIX_C_SOURCE=200809L $(SRC)
	@# One by one: given several, it takes the va_list of the later ones for
	@# uninitialized.
	@printf '%s\n' $(SRC) | xargs -n 1 -P 2 sh -c \
	    'exec clang-tidy --quiet "$$0" -- $(OUR_CFLAGS) 2>/dev/null'
	shellcheck test.sh contrib/*.sh tests/*.sh
	shellcheck -s bash .ci/run
	mandoc -T lint -W warning doc/pipegate.1
	@if grep -nE '\<(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|gets)[[:space:]]*\(' \
	    $(SRC); then echo 'banned calls' >&2; exit 1; fi

# What the bench holds two hops against.
build/floor: bench/relay.c Makefile
	@mkdir -p build
	$(CC) -O2 -D_GNU_SOURCE -o $@ bench/relay.c

bench: pipegate static build/floor
	@python3 bench/run

bench-full: pipegate static build/relay build/floor
	@python3 bench/run full

profile: pipegate
	@python3 bench/run profile

install: pipegate
	mkdir -p $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	cp pipegate $(DESTDIR)$(PREFIX)/bin/pipegate
	chmod 755 $(DESTDIR)$(PREFIX)/bin/pipegate
	cp doc/pipegate.1 $(DESTDIR)$(PREFIX)/share/man/man1/pipegate.1
	chmod 644 $(DESTDIR)$(PREFIX)/share/man/man1/pipegate.1

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/pipegate \
	    $(DESTDIR)$(PREFIX)/share/man/man1/pipegate.1

clean:
	rm -rf build pipegate pipegate-static $(OBJ)

.PHONY: all demo test check soak apps san fuzz static coverage floors lint bench \
	bench-full profile install uninstall clean
