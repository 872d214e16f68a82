// PID 1 of the device benchmarks: does what `bench=` on the kernel's command line says between two
// lines, "bench begins" and "bench ends".

#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h> // needs sys/socket.h
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1 << 20, LENGTH = 256 * MIB, SMALL = 4096, SMALL_COUNT = 16384 };

static void fail(const char *what) {
    perror(what);
    reboot(RB_POWER_OFF);
}

static uint8_t buffer[MIB] __attribute__((aligned(4096)));

static void disk(const char *what) {
    int write_it = !strcmp(what, "write"), small = !strcmp(what, "small");
    int fd = open("/dev/vda", O_RDWR | (small ? O_DIRECT : 0));
    if (fd < 0) fail("/dev/vda");
    printf("bench begins\n");
    if (small) {
        for (uint64_t i = 0; i < SMALL_COUNT; i++) {
            off_t at = (off_t)(i * 40503 % (LENGTH / SMALL)) * SMALL;
            if (pread(fd, buffer, SMALL, at) != SMALL) fail("pread");
        }
    } else {
        for (int i = 0; i < LENGTH / MIB; i++)
            if ((write_it ? write(fd, buffer, MIB) : read(fd, buffer, MIB)) != MIB) fail(what);
        if (write_it && fsync(fd)) fail("fsync");
    }
    printf("bench ends\n");
}

// The port of the console device, wherever it is: the virtio-serial side of the comparison.
static int serial_port(void) {
    DIR *dev = opendir("/dev");
    for (struct dirent *entry; dev && (entry = readdir(dev));)
        if (!strncmp(entry->d_name, "vport", 5)) {
            char path[300];
            snprintf(path, sizeof path, "/dev/%s", entry->d_name);
            return open(path, O_RDWR);
        }
    return -1;
}

static int vsock(void) {
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_port = 1024, .svm_cid = VMADDR_CID_ANY};
    if (fd < 0 || bind(fd, (void *)&address, sizeof address) || listen(fd, 1)) fail("vsock");
    printf("bench listens\n");
    return accept(fd, NULL, NULL);
}

// Sends back what comes, until the host has everything and switches us off.
static void echo(int fd) {
    if (fd < 0) fail("echo");
    for (;;) {
        ssize_t count = read(fd, buffer, 65536);
        if (count <= 0) {
            usleep(1000);
            continue;
        }
        for (ssize_t done = 0; done < count;) {
            ssize_t written = write(fd, buffer + done, count - done);
            if (written <= 0) fail("echo");
            done += written;
        }
    }
}

int main(void) {
    static char line[4096], what[32];
    setvbuf(stdout, NULL, _IOLBF, 0);
    mkdir("/proc", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    int fd = open("/proc/cmdline", O_RDONLY);
    if (read(fd, line, sizeof line - 1) <= 0) fail("/proc/cmdline");
    char *at = strstr(line, "bench=");
    if (at) sscanf(at + 6, "%31s", what);
    if (!strcmp(what, "vsock")) {
        echo(vsock());
    } else if (!strcmp(what, "serial")) {
        fd = serial_port();
        printf("bench listens\n");
        echo(fd);
    } else {
        disk(what);
    }
    reboot(RB_POWER_OFF);
    return 1;
}
