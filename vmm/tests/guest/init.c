// PID 1 of the test guest: does what `kiln.test=` on the kernel's command line says and reports in
// lines that begin with "kiln:".

#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/input.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

static void offline_and_online(void) {
    for (int round = 0; round < 3; round++) {
        for (int online = 0; online < 2; online++) {
            int fd = open("/sys/devices/system/cpu/cpu1/online", O_WRONLY);
            ssize_t n = fd < 0 ? -1 : write(fd, online ? "1" : "0", 1);
            if (fd >= 0) close(fd);
            printf("kiln: cpu1 %s %s\n", online ? "online" : "offline", n == 1 ? "ok" : "failed");
            printf("kiln: nproc %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
        }
    }
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
    printf("kiln: init %s\n", test);
    int end = RB_POWER_OFF;
    if (!strcmp(test, "report")) report();
    else if (!strcmp(test, "roam")) roam();
    else if (!strcmp(test, "hotplug")) offline_and_online();
    else if (!strcmp(test, "reboot")) end = RB_AUTOBOOT;
    else if (!strcmp(test, "panic")) return 1; // the kernel panics when init exits
    else if (!strcmp(test, "button")) wait_for_power_button();
    else if (!strcmp(test, "tick")) tick();
    else if (!strcmp(test, "echo")) echo();
    else if (!strcmp(test, "idle")) for (;;) pause();
    fflush(stdout);
    sync();
    reboot(end);
    return 1;
}
