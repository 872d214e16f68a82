// PID 1 of the test guest: does what `kiln.test=` on the kernel's command line says and reports in
// lines that begin with "kiln:".

#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/input.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h> // wants <sys/socket.h> before it

static void slurp(const char *path, char *into, size_t size) {
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, into, size - 1);
    into[n > 0 ? n : 0] = 0;
    if (fd >= 0) close(fd);
    char *newline = strchr(into, '\n');
    if (newline) *newline = 0;
}

static void report(void) {
    printf("kiln: nproc %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
    printf("kiln: time %lld\n", (long long)time(NULL));
    DIR *devices = opendir("/sys/bus/virtio/devices");
    for (struct dirent *entry; devices && (entry = readdir(devices));) {
        if (entry->d_name[0] == '.') continue;
        char path[512], id[64];
        snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s/device", entry->d_name);
        slurp(path, id, sizeof id);
        printf("kiln: virtio %ld\n", strtol(id, NULL, 16));
    }
    struct { const char *name, *path; } present[] = {
        {"pl011", "/sys/bus/amba/drivers/uart-pl011"},
        {"rtc", "/sys/class/rtc/rtc0"},
        {"gpio", "/sys/bus/gpio/devices/gpiochip0"},
        {"hwrng", "/dev/hwrng"},
        {"power-button", "/dev/input/event0"},
    };
    for (size_t n = 0; n < sizeof present / sizeof *present; n++)
        printf("kiln: %s %s\n", present[n].name, access(present[n].path, F_OK) ? "absent" : "present");
    uint64_t random = 0;
    getrandom(&random, sizeof random, 0);
    printf("kiln: random %016llx\n", (unsigned long long)random);
}

// Runs on every CPU in turn and counts, so that each is seen to work.
static void roam(void) {
    long cpus = sysconf(_SC_NPROCESSORS_ONLN), visited = 0;
    for (long cpu = 0; cpu < cpus; cpu++) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set) == 0 && sched_getcpu() == cpu) visited++;
    }
    printf("kiln: visited %ld\n", visited);
}

static int switch_cpu1(const char *to) {
    int fd = open("/sys/devices/system/cpu/cpu1/online", O_WRONLY);
    ssize_t n = fd < 0 ? -1 : write(fd, to, 1);
    if (fd >= 0) close(fd);
    return n == 1;
}

static void offline_and_online(void) {
    for (int round = 0; round < 3; round++) {
        for (int online = 0; online < 2; online++) {
            int ok = switch_cpu1(online ? "1" : "0");
            printf("kiln: cpu1 %s %s\n", online ? "online" : "offline", ok ? "ok" : "failed");
            printf("kiln: nproc %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
        }
    }
}

// Switches a CPU off, and on again once a line is typed.
static void park(void) {
    if (!switch_cpu1("0")) return;
    printf("kiln: parked\n");
    getchar();
    if (!switch_cpu1("1")) return;
    printf("kiln: unparked %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
    roam();
}

// Draws a random number once a line is typed.
static void draw(void) {
    uint64_t nonce = 0, random = 0;
    getrandom(&nonce, sizeof nonce, 0);
    printf("kiln: nonce %016llx\n", (unsigned long long)nonce);
    printf("kiln: type\n");
    getchar();
    getrandom(&random, sizeof random, 0);
    printf("kiln: nonce %016llx\n", (unsigned long long)nonce);
    printf("kiln: random %016llx\n", (unsigned long long)random);
}

static void wait_for_power_button(void) {
    int fd = open("/dev/input/event0", O_RDONLY);
    printf("kiln: waiting for the power button\n");
    struct input_event event;
    while (fd >= 0 && read(fd, &event, sizeof event) == sizeof event)
        if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) {
            printf("kiln: power button\n");
            return;
        }
    printf("kiln: no power button\n");
}

// Counts seconds of two clocks, for a host that pauses us meanwhile.
static void tick(void) {
    for (;;) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        printf("kiln: tick %lld\n", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
        usleep(50000);
    }
}

static void echo(void) {
    char line[256];
    printf("kiln: type\n");
    while (fgets(line, sizeof line, stdin)) {
        printf("kiln: typed %s", line);
        if (!strcmp(line, "quit\n")) return;
    }
}

// The same sequence as `Pattern` in devices.rs: xorshift64 (Marsaglia 2003).
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

enum { BLOCK = 65536 };

// Writes every block of the disk, in an order that jumps about, then reads all back.
static void disk(void) {
    int fd = open("/dev/vda", O_RDWR);
    uint64_t size = 0;
    static uint64_t data[BLOCK / 8], seen[BLOCK / 8];
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size)) {
        printf("kiln: disk absent\n");
        return;
    }
    uint64_t blocks = size / BLOCK;
    for (uint64_t n = 0; n < blocks; n++) {
        // 40503 is odd, hence a permutation of a power of two of blocks.
        uint64_t block = n * 40503 % blocks, state = block + 1;
        fill(&state, data, BLOCK);
        if (pwrite(fd, data, BLOCK, block * BLOCK) != BLOCK) {
            printf("kiln: disk write failed\n");
            return;
        }
    }
    if (fsync(fd)) printf("kiln: disk fsync failed\n");
    ioctl(fd, BLKFLSBUF, 0);
    for (uint64_t block = 0; block < blocks; block++) {
        uint64_t state = block + 1;
        fill(&state, data, BLOCK);
        if (pread(fd, seen, BLOCK, block * BLOCK) != BLOCK || memcmp(data, seen, BLOCK)) {
            printf("kiln: disk differs at %llu\n", (unsigned long long)block);
            return;
        }
    }
    printf("kiln: disk blocks %llu\n", (unsigned long long)blocks);
}

// Says what each partition of the second disk holds: FNV-1a over its bytes.
static void partitions(void) {
    for (int n = 1; n < 16; n++) {
        char path[64], name[256] = "", line[256];
        snprintf(path, sizeof path, "/sys/class/block/vda%d/uevent", n);
        FILE *uevent = fopen(path, "r");
        if (!uevent) return;
        while (fgets(line, sizeof line, uevent)) sscanf(line, "PARTNAME=%255s", name);
        fclose(uevent);
        snprintf(path, sizeof path, "/dev/vda%d", n);
        int fd = open(path, O_RDONLY);
        uint64_t hash = 0xcbf29ce484222325, size = 0;
        static unsigned char bytes[BLOCK];
        for (ssize_t got; fd >= 0 && (got = read(fd, bytes, sizeof bytes)) > 0; size += got)
            for (ssize_t at = 0; at < got; at++) hash = (hash ^ bytes[at]) * 0x100000001b3;
        if (fd >= 0) close(fd);
        printf("kiln: partition %s %llu %016llx\n", name, (unsigned long long)size,
               (unsigned long long)hash);
    }
}

static int dial(unsigned port) {
    struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&host, sizeof host) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

// Both ways at once: sends `arg` MiB of one sequence and expects as much of another.
static void stream(long mebibytes) {
    int fd = dial(1024);
    uint64_t left_out = mebibytes << 20, left_in = left_out, out = 1, in = 2;
    static uint64_t sending[BLOCK / 8], expected[BLOCK / 8], got[BLOCK / 8];
    size_t sent = 0, received = 0;
    fill(&out, sending, BLOCK);
    fill(&in, expected, BLOCK);
    while (fd >= 0 && (left_out || left_in)) {
        struct pollfd ready = {fd, (left_in ? POLLIN : 0) | (left_out ? POLLOUT : 0), 0};
        if (poll(&ready, 1, -1) < 0) break;
        if (ready.revents & POLLOUT && left_out) {
            ssize_t n = send(fd, (char *)sending + sent, BLOCK - sent, MSG_DONTWAIT);
            if (n > 0) {
                left_out -= n;
                sent += n;
                if (sent == BLOCK) fill(&out, sending, BLOCK), sent = 0;
            }
        }
        if (ready.revents & POLLIN && left_in) {
            ssize_t n = recv(fd, got, BLOCK - received, MSG_DONTWAIT);
            if (n == 0 || (n > 0 && memcmp(got, (char *)expected + received, n))) break;
            if (n > 0) {
                left_in -= n;
                received += n;
                if (received == BLOCK) fill(&in, expected, BLOCK), received = 0;
            }
        }
    }
    printf("kiln: stream %s\n", left_out || left_in ? "broken" : "whole");
    // The host has read all when it closes.
    shutdown(fd, SHUT_WR);
    while (recv(fd, got, BLOCK, 0) > 0) {}
}

// `count` connections open at once, each with something of its own to be echoed.
static void streams(long count) {
    static int fds[4096];
    long good = 0;
    for (long n = 0; n < count; n++) {
        char text[64];
        fds[n] = dial(1025);
        int len = snprintf(text, sizeof text, "stream %ld", n);
        if (fds[n] < 0 || write(fds[n], text, len) != len) fds[n] = -1;
    }
    for (long n = 0; n < count; n++) {
        char text[64], echo[64] = "";
        int len = snprintf(text, sizeof text, "stream %ld", n), had = 0;
        for (ssize_t got; had < len && (got = read(fds[n], echo + had, len - had)) > 0;) had += got;
        good += !strcmp(text, echo);
    }
    printf("kiln: streams %ld\n", good);
}

// Touches `mebibytes`, and once a line is typed gives them back to the kernel, and waits.
static void touch(long mebibytes) {
    size_t size = mebibytes << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t at = 0; memory != MAP_FAILED && at < size; at += 4096) memory[at] = 1;
    printf("kiln: touched %ld\n", mebibytes);
    getchar();
    munmap(memory, size);
    for (;;) pause();
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/dev", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    char command_line[4096];
    slurp("/proc/cmdline", command_line, sizeof command_line);
    char *test = strstr(command_line, "kiln.test=");
    test = test ? test + strlen("kiln.test=") : "report";
    test[strcspn(test, " ")] = 0;
    // An argument follows a comma.
    char *comma = strchr(test, ',');
    long argument = comma ? atol(comma + 1) : 0;
    if (comma) *comma = 0;
    printf("kiln: init %s\n", test);
    int end = RB_POWER_OFF;
    if (!strcmp(test, "report")) report();
    else if (!strcmp(test, "roam")) roam();
    else if (!strcmp(test, "hotplug")) offline_and_online();
    else if (!strcmp(test, "parked")) park();
    else if (!strcmp(test, "random")) draw();
    else if (!strcmp(test, "reboot")) end = RB_AUTOBOOT;
    else if (!strcmp(test, "panic")) return 1; // the kernel panics when init exits
    else if (!strcmp(test, "button")) wait_for_power_button();
    else if (!strcmp(test, "tick")) tick();
    else if (!strcmp(test, "disk")) disk();
    else if (!strcmp(test, "partitions")) partitions();
    else if (!strcmp(test, "stream")) stream(argument);
    else if (!strcmp(test, "streams")) streams(argument);
    else if (!strcmp(test, "touch")) touch(argument);
    else if (!strcmp(test, "echo")) echo();
    else if (!strcmp(test, "idle")) for (;;) pause();
    fflush(stdout);
    sync();
    reboot(end);
    return 1;
}
