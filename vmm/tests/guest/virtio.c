// PID 1 of the test guest for virtio devices: does what `kiln.test=` on the kernel's command line
// says with `kiln.bytes=` bytes, and reports in lines that begin with "kiln:".

#define _GNU_SOURCE
#include <arm_neon.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h> // needs sys/socket.h
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define BLOCK 4096

static void fail(const char *what) {
    printf("kiln: failed %s: %s\n", what, strerror(errno));
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
}

// The finalizer of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
static uint64_t mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9;
    x ^= x >> 27;
    x *= 0x94d049bb133111eb;
    return x ^ x >> 31;
}

// Bytes that the host can make too: word number `at` of a stream.
static void fill(uint64_t *words, size_t bytes, uint64_t at) {
    for (size_t i = 0; i < bytes / 8; i++) words[i] = mix(at + i + 1);
}

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

// SHA-256 (FIPS 180-4) with the instructions for it.
struct sha256 {
    uint32x4_t abcd, efgh;
    uint64_t length;
    uint8_t pending[64];
};

static void sha256_start(struct sha256 *s) {
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    s->abcd = vld1q_u32(initial);
    s->efgh = vld1q_u32(initial + 4);
    s->length = 0;
}

static void sha256_block(struct sha256 *s, const uint8_t *bytes) {
    uint32x4_t m[4], abcd = s->abcd, efgh = s->efgh;
    for (int i = 0; i < 4; i++) m[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(bytes + 16 * i)));
    for (int i = 0; i < 16; i++) {
        uint32x4_t w = vaddq_u32(m[i & 3], vld1q_u32(K + 4 * i)), before = abcd;
        abcd = vsha256hq_u32(abcd, efgh, w);
        efgh = vsha256h2q_u32(efgh, before, w);
        if (i < 12)
            m[i & 3] = vsha256su1q_u32(vsha256su0q_u32(m[i & 3], m[(i + 1) & 3]), m[(i + 2) & 3],
                                       m[(i + 3) & 3]);
    }
    s->abcd = vaddq_u32(s->abcd, abcd);
    s->efgh = vaddq_u32(s->efgh, efgh);
}

static void sha256_add(struct sha256 *s, const uint8_t *bytes, size_t count) {
    while (count) {
        size_t have = s->length % 64, take = 64 - have < count ? 64 - have : count;
        if (take == 64) {
            sha256_block(s, bytes);
        } else {
            memcpy(s->pending + have, bytes, take);
            if (have + take == 64) sha256_block(s, s->pending);
        }
        s->length += take;
        bytes += take;
        count -= take;
    }
}

static const char *sha256_end(struct sha256 *s) {
    static char text[65];
    uint64_t bits = __builtin_bswap64(s->length * 8);
    sha256_add(s, (const uint8_t *)"\x80", 1);
    while (s->length % 64 != 56) sha256_add(s, (const uint8_t *)"", 1);
    sha256_add(s, (const uint8_t *)&bits, 8);
    uint32_t words[8];
    vst1q_u32(words, s->abcd);
    vst1q_u32(words + 4, s->efgh);
    for (int i = 0; i < 8; i++) sprintf(text + 8 * i, "%08x", words[i]);
    return text;
}

static char line[256];

static const char *slurp(const char *path) {
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    line[n > 0 ? n : 0] = 0;
    line[strcspn(line, "\n")] = 0;
    if (fd >= 0) close(fd);
    return line;
}

static void spit(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) fail(path);
    close(fd);
}

// Waits for the host, which types a line.
static void wait_for_host(void) {
    char answer[16];
    if (!fgets(answer, sizeof answer, stdin)) fail("stdin");
}

// Every block in an order that looks random, by four processes; then all of them again after the
// page cache is dropped.
static void disk(uint64_t bytes) {
    printf("kiln: serial %s\n", slurp("/sys/block/vda/serial"));
    printf("kiln: queues %d\n", access("/sys/block/vda/mq/1", F_OK) ? 1 : 2);
    static uint64_t block[BLOCK / 8] __attribute__((aligned(BLOCK)));
    uint64_t blocks = bytes / BLOCK;
    for (int process = 0; process < 4; process++) {
        if (fork()) continue;
        int fd = open("/dev/vda", O_RDWR);
        if (fd < 0) fail("open");
        for (uint64_t i = process; i < blocks; i += 4) {
            uint64_t at = i * 40503 % blocks; // odd: each block once if their number is 2^n
            fill(block, BLOCK, at * (BLOCK / 8));
            if (pwrite(fd, block, BLOCK, at * BLOCK) != BLOCK) fail("pwrite");
        }
        if (fsync(fd)) fail("fsync");
        _exit(0);
    }
    for (int status; wait(&status) > 0;)
        if (status) fail("writer");
    printf("kiln: flushed\n");
    wait_for_host();
    spit("/proc/sys/vm/drop_caches", "3");
    int fd = open("/dev/vda", O_RDWR);
    static uint64_t expected[BLOCK / 8];
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t at = i * 9973 % blocks;
        fill(expected, BLOCK, at * (BLOCK / 8));
        if (pread(fd, block, BLOCK, at * BLOCK) != BLOCK) fail("pread");
        wrong += memcmp(block, expected, BLOCK) != 0;
    }
    printf("kiln: wrong %llu\n", (unsigned long long)wrong);
    // Past the page cache, and in one piece of 1 MiB.
    size_t large = 1 << 20;
    uint64_t *buffer = mmap(NULL, large, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int direct = open("/dev/vda", O_RDWR | O_DIRECT);
    fill(buffer, large, 1ull << 40);
    if (pwrite(direct, buffer, large, 0) != (ssize_t)large) fail("direct write");
    uint64_t zeros[2] = {large, large}, discarded[2] = {2 * large, large};
    if (ioctl(fd, BLKZEROOUT, zeros)) fail("BLKZEROOUT");
    if (ioctl(fd, BLKDISCARD, discarded)) fail("BLKDISCARD");
    if (fsync(fd)) fail("fsync");
    printf("kiln: changed\n");
    wait_for_host();
}

static void composite(void) {
    printf("kiln: read-only %s\n", slurp("/sys/block/vda/ro"));
    for (int n = 1; n < 256; n++) {
        char path[64], name[64];
        snprintf(path, sizeof path, "/sys/class/block/vda%d/uevent", n);
        FILE *uevent = fopen(path, "r");
        if (!uevent) break;
        strcpy(name, "?");
        while (fgets(line, sizeof line, uevent)) sscanf(line, "PARTNAME=%63[^\n]", name);
        fclose(uevent);
        snprintf(path, sizeof path, "/dev/vda%d", n);
        static uint8_t buffer[1 << 16];
        struct sha256 hash;
        sha256_start(&hash);
        int fd = open(path, O_RDONLY);
        for (ssize_t count; (count = read(fd, buffer, sizeof buffer)) > 0;)
            sha256_add(&hash, buffer, count);
        close(fd);
        uint64_t length = hash.length;
        printf("kiln: part %s %llu %s\n", name, (unsigned long long)length, sha256_end(&hash));
    }
}

static int vsock_listen(uint32_t port) {
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_port = port, .svm_cid = VMADDR_CID_ANY};
    if (fd < 0 || bind(fd, (void *)&address, sizeof address) || listen(fd, 16)) fail("vsock listen");
    return fd;
}

// Reads a stream to its end, then writes one: the first connection's hash, the second's.
static void vsock(uint64_t bytes) {
    static uint64_t buffer[1 << 15];
    int listener = vsock_listen(1024);
    printf("kiln: listening\n");
    struct sha256 hash;
    sha256_start(&hash);
    int fd = accept(listener, NULL, NULL);
    for (ssize_t count; (count = read(fd, buffer, sizeof buffer)) > 0;)
        sha256_add(&hash, (uint8_t *)buffer, count);
    close(fd);
    uint64_t length = hash.length;
    printf("kiln: received %llu %s\n", (unsigned long long)length, sha256_end(&hash));
    sha256_start(&hash);
    fd = accept(listener, NULL, NULL);
    for (uint64_t at = 0; at < bytes; at += sizeof buffer) {
        fill(buffer, sizeof buffer, at / 8);
        sha256_add(&hash, (uint8_t *)buffer, sizeof buffer);
        for (size_t done = 0; done < sizeof buffer;) {
            ssize_t count = write(fd, (uint8_t *)buffer + done, sizeof buffer - done);
            if (count <= 0) fail("vsock write");
            done += count;
        }
    }
    close(fd);
    length = hash.length;
    printf("kiln: sent %llu %s\n", (unsigned long long)length, sha256_end(&hash));
    wait_for_host();
}

// Many streams at once to a host that echoes; each has bytes of its own.
static void streams(void) {
    enum { STREAMS = 500, BYTES = 32768 };
    static int fds[STREAMS];
    static size_t written[STREAMS], got[STREAMS];
    static struct pollfd polls[STREAMS];
    static uint8_t buffer[BYTES], expected[BYTES];
    for (int i = 0; i < STREAMS; i++) {
        fds[i] = socket(AF_VSOCK, SOCK_STREAM, 0);
        struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_port = 5000, .svm_cid = VMADDR_CID_HOST};
        if (fds[i] < 0 || connect(fds[i], (void *)&host, sizeof host)) fail("vsock connect");
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    printf("kiln: connected %d\n", STREAMS);
    int finished = 0, wrong = 0;
    while (finished < STREAMS) {
        for (int i = 0; i < STREAMS; i++) {
            short events = got[i] < BYTES ? POLLIN : 0;
            if (written[i] < BYTES) events |= POLLOUT;
            polls[i] = (struct pollfd){.fd = events ? fds[i] : -1, .events = events};
        }
        if (poll(polls, STREAMS, 60000) <= 0) fail("poll");
        for (int i = 0; i < STREAMS; i++) {
            fill((uint64_t *)expected, BYTES, (uint64_t)i << 32);
            if (polls[i].revents & POLLOUT) {
                ssize_t count = write(fds[i], expected + written[i], BYTES - written[i]);
                if (count > 0) written[i] += count;
            }
            if (polls[i].revents & (POLLIN | POLLHUP | POLLERR)) {
                ssize_t count = read(fds[i], buffer, BYTES - got[i]);
                if (count == 0 || (count < 0 && errno != EAGAIN)) fail("vsock read");
                if (count > 0) {
                    wrong += memcmp(buffer, expected + got[i], count) != 0;
                    got[i] += count;
                    finished += got[i] == BYTES;
                }
            }
        }
    }
    printf("kiln: echoed %d wrong %d\n", finished, wrong);
}

static void touch(uint64_t bytes) {
    uint64_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    for (uint64_t i = 0; i < bytes / 8; i += 512) memory[i] = mix(i);
    int wrong = 0;
    for (uint64_t i = 0; i < bytes / 8; i += 512) wrong += memory[i] != mix(i);
    munmap(memory, bytes);
    printf("kiln: touched %d\n", wrong);
}

static void balloon(uint64_t bytes) {
    for (int round = 0; round < 2; round++) {
        touch(bytes);
        wait_for_host();
    }
}

static void rng(void) {
    uint8_t bytes[32];
    int fd = open("/dev/hwrng", O_RDONLY);
    if (fd < 0 || read(fd, bytes, sizeof bytes) != sizeof bytes) fail("/dev/hwrng");
    printf("kiln: rng ");
    for (size_t i = 0; i < sizeof bytes; i++) printf("%02x", bytes[i]);
    printf("\n");
}

static void console(void) {
    int hvc = open("/dev/hvc0", O_RDWR), port = -1;
    if (hvc < 0) fail("/dev/hvc0");
    struct termios raw;
    tcgetattr(hvc, &raw);
    cfmakeraw(&raw);
    tcsetattr(hvc, TCSANOW, &raw);
    for (int n = 0; n < 4 && port < 0; n++) {
        char path[80];
        snprintf(path, sizeof path, "/sys/class/virtio-ports/vport0p%d/name", n);
        if (strcmp(slurp(path), "kiln.test")) continue;
        snprintf(path, sizeof path, "/dev/vport0p%d", n);
        port = open(path, O_RDWR);
    }
    // The number of the virtio device is not ours to choose.
    for (int device = 1; device < 10 && port < 0; device++)
        for (int n = 0; n < 4 && port < 0; n++) {
            char path[80];
            snprintf(path, sizeof path, "/sys/class/virtio-ports/vport%dp%d/name", device, n);
            if (strcmp(slurp(path), "kiln.test")) continue;
            snprintf(path, sizeof path, "/dev/vport%dp%d", device, n);
            port = open(path, O_RDWR);
        }
    if (port < 0) fail("the port named kiln.test");
    printf("kiln: open\n");
    for (int i = 0; i < 2; i++) {
        int fd = i ? port : hvc;
        char buffer[64];
        for (ssize_t left = 10; left > 0;) {
            ssize_t count = read(fd, buffer, left);
            if (count <= 0) fail("console read");
            if (write(fd, buffer, count) != count) fail("console write");
            left -= count;
        }
    }
    wait_for_host();
    struct winsize size = {0};
    ioctl(hvc, TIOCGWINSZ, &size);
    printf("kiln: size %d %d\n", size.ws_col, size.ws_row);
    // The host resizes the console.
    while (size.ws_col == 80) {
        usleep(10000);
        ioctl(hvc, TIOCGWINSZ, &size);
    }
    printf("kiln: resized %d %d\n", size.ws_col, size.ws_row);
    wait_for_host();
}

static char command_line[4096];

static const char *argument(const char *key) {
    char *at = strstr(command_line, key);
    return at ? at + strlen(key) : "";
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/dev", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    int fd = open("/proc/cmdline", O_RDONLY);
    if (read(fd, command_line, sizeof command_line - 1) <= 0) fail("/proc/cmdline");
    close(fd);
    uint64_t bytes = strtoull(argument("kiln.bytes="), NULL, 0);
    char test[32] = "";
    sscanf(argument("kiln.test="), "%31s", test);
    printf("kiln: init %s\n", test);
    if (!strcmp(test, "disk")) disk(bytes);
    else if (!strcmp(test, "composite")) composite();
    else if (!strcmp(test, "vsock")) vsock(bytes);
    else if (!strcmp(test, "streams")) streams();
    else if (!strcmp(test, "balloon")) balloon(bytes);
    else if (!strcmp(test, "rng")) rng();
    else if (!strcmp(test, "console")) console();
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
