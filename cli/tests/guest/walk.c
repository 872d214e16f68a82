// Prints all that can be seen of every file in a tree, one line each:
//
//     PATH TYPE MODE UID:GID MTIME LINKS [SIZE HASH | TARGET | MAJOR:MINOR] [XATTR=VALUE]...
//
// The same source runs in a guest and on the host, so that two trees are equal when the sorted lines
// are. Left out is what a file system may choose: sizes and link counts of directories, inode numbers,
// and all times but that of modification. Content is hashed by FNV-1a, 64 bits.
//
// usage: walk [--under-mounts] DIRECTORY

#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static char path[1 << 16];
static unsigned char buffer[1 << 20];

// Bytes as they are if they are visible, else as %XX.
static void print(const void *bytes, size_t count)
{
	for (const unsigned char *at = bytes; count > 0; at++, count--) {
		if (*at > ' ' && *at < 0x7f && *at != '%')
			putchar(*at);
		else
			printf("%%%02x", *at);
	}
}

static uint64_t hash(int file)
{
	uint64_t hash = 0xcbf29ce484222325;
	ssize_t count;

	while ((count = read(file, buffer, sizeof(buffer))) > 0)
		for (ssize_t i = 0; i < count; i++)
			hash = (hash ^ buffer[i]) * 0x100000001b3;
	if (count < 0)
		err(1, "read %s", path);
	return hash;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_xattrs(const char *name)
{
	static char names[1 << 16];
	char *sorted[4096];
	size_t count = 0;
	ssize_t length = llistxattr(name, names, sizeof(names));

	if (length < 0)
		err(1, "list the attributes of %s", path);
	for (char *at = names; at < names + length && count < 4096; at += strlen(at) + 1)
		sorted[count++] = at;
	qsort(sorted, count, sizeof(*sorted), by_name);
	for (size_t i = 0; i < count; i++) {
		ssize_t size = lgetxattr(name, sorted[i], buffer, sizeof(buffer));

		if (size < 0)
			err(1, "read %s of %s", sorted[i], path);
		putchar(' ');
		print(sorted[i], strlen(sorted[i]));
		putchar('=');
		print(buffer, size);
	}
}

static void print_file(const char *name, const struct stat *st)
{
	print(path, strlen(path));
	printf(" %o %o %u:%u %jd.%09ld", st->st_mode >> 12, st->st_mode & 07777, st->st_uid,
	       st->st_gid, (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	if (!S_ISDIR(st->st_mode))
		printf(" %ju", (uintmax_t)st->st_nlink);
	if (S_ISREG(st->st_mode)) {
		int file = open(name, O_RDONLY | O_NOFOLLOW);

		if (file < 0)
			err(1, "open %s", path);
		printf(" %jd %016" PRIx64, (intmax_t)st->st_size, hash(file));
		close(file);
	} else if (S_ISLNK(st->st_mode)) {
		ssize_t size = readlink(name, (char *)buffer, sizeof(buffer));

		if (size < 0)
			err(1, "read the link %s", path);
		putchar(' ');
		print(buffer, size);
	} else if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		printf(" %u:%u", major(st->st_rdev), minor(st->st_rdev));
	}
	print_xattrs(name);
	putchar('\n');
}

// Walks the directory `fd`, which it closes; `path` is its path, with a slash at the end.
static void walk(int fd)
{
	size_t length = strlen(path);
	DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		err(1, "open %s", path);
	while ((entry = readdir(dir))) {
		struct stat st;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (length + strlen(entry->d_name) + 2 > sizeof(path))
			errx(1, "%s: the path is too long", path);
		strcpy(path + length, entry->d_name);
		if (fchdir(fd) || lstat(entry->d_name, &st))
			err(1, "%s", path);
		print_file(entry->d_name, &st);
		if (S_ISDIR(st.st_mode)) {
			int child = open(entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

			if (child < 0)
				err(1, "open %s", path);
			strcat(path, "/");
			walk(child);
		}
		path[length] = 0;
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	int under_mounts = argc == 3 && !strcmp(argv[1], "--under-mounts");
	struct stat st;
	int root;

	if (argc != 2 && !under_mounts)
		errx(2, "usage: walk [--under-mounts] DIRECTORY");
	if (under_mounts)
		// A mount of its own, without those on top of it.
		root = open_tree(AT_FDCWD, argv[2], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	else
		root = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (root < 0 || fchdir(root) || fstat(root, &st))
		err(1, "%s", argv[argc - 1]);
	strcpy(path, "/");
	print_file(".", &st);
	root = open(".", O_RDONLY | O_DIRECTORY);
	if (root < 0)
		err(1, "%s", argv[argc - 1]);
	walk(root);
	return 0;
}
