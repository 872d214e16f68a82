// PID 1 of a guest under load on every side. It works until the host says so in its answer on the
// socket, checks itself all the while, and reports what the host can compute as well.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/vm_sockets.h>

enum { MOST = 64, BLOCK = 65536, PORT = 1024, PATIENCE_SECONDS = 60 };

static _Atomic int finish;
static _Atomic uint64_t latest_counter, latest_time;

// Whoever works counts here; the watchdog sees who does not.
static struct {
    const char *name;
    _Atomic uint64_t count;
    _Atomic int over;
} workers[MOST];
static _Atomic int worker_count;

static int enlist(const char *name) {
    int number = atomic_fetch_add(&worker_count, 1);
    workers[number].name = name;
    return number;
}

static void beat(int number) { atomic_fetch_add(&workers[number].count, 1); }

// One write a line, so that lines of several threads stay whole.
static void say(const char *format, ...) {
    char line[256] = "kiln: ";
    va_list arguments;
    va_start(arguments, format);
    int size = 6 + vsnprintf(line + 6, sizeof line - 8, format, arguments);
    va_end(arguments);
    line[size++] = '\n';
    if (write(1, line, size) != size) return;
}

static _Noreturn void fail(const char *format, ...) {
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    say("broken: %s", text);
    sleep(1);
    reboot(RB_POWER_OFF);
    for (;;) pause();
}

static uint64_t monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static uint64_t counter(void) {
    uint64_t value;
    __asm__ volatile("isb; mrs %0, CNTVCT_EL0" : "=r"(value)::"memory");
    return value;
}

static void pin(long cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) fail("CPU %ld cannot be had", cpu);
}

// xorshift64 (Marsaglia 2003), as the host has it.
static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void fill(uint64_t *state, void *into, size_t size) {
    uint64_t *words = into;
    for (size_t n = 0; n < size / 8; n++) words[n] = next(state);
}

// Integer and floating-point sequences, wholly in registers for long.
static void *compute(void *argument) {
    long cpu = (long)argument;
    int number = enlist("compute");
    pin(cpu);
    uint64_t state = cpu + 1, rounds = 0;
    double x = 0.5 / (cpu + 1);
    for (; !finish; rounds++, beat(number))
        for (int n = 0; n < 20000; n++) {
            next(&state);
            x = 3.9 * x * (1 - x);
        }
    uint64_t bits;
    memcpy(&bits, &x, 8);
    say("compute %ld %llu %016llx %016llx", cpu, (unsigned long long)rounds,
        (unsigned long long)state, (unsigned long long)bits);
    workers[number].over = 1;
    return NULL;
}

// No clock goes back: not on this CPU, and not against what any other one has seen before.
static void ahead(const char *what, _Atomic uint64_t *latest, uint64_t (*clock)(void)) {
    uint64_t before = atomic_load(latest), now = clock();
    if (now < before)
        fail("%s went back from %llu to %llu", what, (unsigned long long)before,
             (unsigned long long)now);
    while (before < now && !atomic_compare_exchange_weak(latest, &before, now)) {}
}

static void *clocks(void *argument) {
    int number = enlist("clocks");
    pin((long)argument);
    for (; !finish; beat(number)) {
        for (int n = 0; n < 50; n++) {
            ahead("the counter", &latest_counter, counter);
            ahead("the time", &latest_time, monotonic);
        }
        struct timespec nap = {0, 1000000};
        uint64_t begin = monotonic();
        nanosleep(&nap, NULL);
        if (monotonic() - begin < 1000000) fail("a nap was too short");
    }
    workers[number].over = 1;
    return NULL;
}

static void *timers(void *unused) {
    (void)unused;
    int number = enlist("timers");
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec every = {{0, 3000000}, {0, 3000000}};
    uint64_t begin = monotonic(), total = 0, expired;
    timerfd_settime(fd, 0, &every, NULL);
    for (; !finish; beat(number)) {
        if (read(fd, &expired, 8) != 8) fail("a timer failed");
        total += expired;
        if (total > (monotonic() - begin) / 3000000) fail("a timer came too early");
    }
    workers[number].over = 1;
    return NULL;
}

// Each block holds its number and how often it was written; what was written is read back. Half of it
// goes past the page cache, so that every write is a request of the device.
static void *disk(void *argument) {
    int direct = argument != NULL, number = enlist(direct ? "direct disk" : "disk");
    int fd = open("/dev/vda", O_RDWR | (direct ? O_DIRECT : 0));
    uint64_t size = 0;
    uint64_t *data = aligned_alloc(4096, BLOCK), *seen = aligned_alloc(4096, BLOCK);
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size)) fail("no disk");
    uint64_t half = size / BLOCK / 2, first = direct ? half : 0, writes = 0;
    static uint32_t generations[2][4096];
    uint32_t *generation = generations[direct];
    uint64_t random = direct + 1;
    for (; !finish; beat(number)) {
        uint64_t block = next(&random) % half, check = next(&random) % half;
        uint64_t state = (first + block) << 32 | ++generation[block];
        fill(&state, data, BLOCK);
        if (pwrite(fd, data, BLOCK, (first + block) * BLOCK) != BLOCK) fail("a write failed");
        if (++writes % 16 == 0 && fsync(fd)) fail("a flush failed");
        if (generation[check]) {
            state = (first + check) << 32 | generation[check];
            fill(&state, data, BLOCK);
            if (pread(fd, seen, BLOCK, (first + check) * BLOCK) != BLOCK ||
                memcmp(data, seen, BLOCK))
                fail("block %llu differs", (unsigned long long)(first + check));
        }
    }
    if (fsync(fd)) fail("the last flush failed");
    for (uint64_t block = 0; block < half; block++)
        if (generation[block])
            say("block %llu %u", (unsigned long long)(first + block), generation[block]);
    workers[number].over = 1;
    return NULL;
}

static int whole(int fd, void *buffer, size_t size, int out) {
    for (size_t done = 0; done < size;) {
        ssize_t n = out ? send(fd, (char *)buffer + done, size - done, MSG_NOSIGNAL)
                        : recv(fd, (char *)buffer + done, size - done, 0);
        if (n <= 0) return 0;
        done += n;
    }
    return 1;
}

// Messages of changing length come back as they were, with the host's word on whether to go on. A
// connection that is reset, as at every restore, is made again, and the message sent again.
static void *talk(void *unused) {
    (void)unused;
    int number = enlist("socket"), fd = -1;
    uint64_t state = 77, echoes = 0, connections = 0;
    static uint64_t out[BLOCK / 8 + 1], in[BLOCK / 8 + 1];
    struct sockaddr_vm host = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = PORT};
    uint64_t words = 0;
    while (!finish) {
        if (fd < 0) {
            fd = socket(AF_VSOCK, SOCK_STREAM, 0);
            if (fd < 0 || connect(fd, (struct sockaddr *)&host, sizeof host)) {
                if (fd >= 0) close(fd);
                fd = -1;
                usleep(5000);
                continue;
            }
            connections++;
        }
        if (!words) {
            words = next(&state) % (BLOCK / 8) + 1;
            fill(&state, out + 1, words * 8);
            out[0] = words;
        }
        if (!whole(fd, out, words * 8 + 8, 1) || !whole(fd, in, words * 8 + 8, 0)) {
            close(fd);
            fd = -1;
            continue;
        }
        if (memcmp(out + 1, in + 1, words * 8)) fail("an echo differs");
        words = 0;
        echoes++;
        beat(number);
        if (in[0] != out[0]) finish = 1;
    }
    say("echoes %llu", (unsigned long long)echoes);
    say("connections %llu", (unsigned long long)connections);
    workers[number].over = 1;
    return NULL;
}

int main(void) {
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    uint64_t nonce = 0;
    getrandom(&nonce, sizeof nonce, 0);
    say("nonce %016llx", (unsigned long long)nonce);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    say("cpus %ld", cpus);
    pthread_t thread;
    for (long cpu = 0; cpu < cpus; cpu++) {
        pthread_create(&thread, NULL, compute, (void *)cpu);
        pthread_create(&thread, NULL, clocks, (void *)cpu);
    }
    pthread_create(&thread, NULL, timers, NULL);
    pthread_create(&thread, NULL, disk, NULL);
    pthread_create(&thread, NULL, disk, (void *)1);
    pthread_create(&thread, NULL, talk, NULL);
    say("working");
    // The watchdog: an interrupt that is lost leaves somebody waiting. A round is over when everybody has
    // moved on since the one before.
    static uint64_t last[MOST], since[MOST], begun[MOST];
    unsigned long long rounds = 0;
    for (;;) {
        usleep(20000);
        int all = cpus * 2 + 4, over = 0, moved = 0;
        uint64_t now = monotonic();
        for (int n = 0; n < worker_count; n++) {
            uint64_t count = workers[n].count;
            over += workers[n].over;
            moved += workers[n].over || count != begun[n];
            if (workers[n].over || count != last[n] || !since[n]) {
                last[n] = count;
                since[n] = now;
            } else if (now - since[n] > PATIENCE_SECONDS * 1000000000ull) {
                fail("%s stands still", workers[n].name);
            }
        }
        if (over == all) break;
        if (moved == all) {
            for (int n = 0; n < all; n++) begun[n] = workers[n].count;
            say("round %llu", ++rounds);
        }
    }
    say("nonce %016llx", (unsigned long long)nonce);
    say("whole");
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
