/* The least that watching a tree over inotify costs: one watch a directory, each listed once, then
 * reads that keep the set of distinct (watch, name).
 *
 * inotify ROOT [PAUSE_US]
 *
 * Prints "ready DIRECTORIES CPU_US RSS_KIB", then reads until a name "end" comes, and prints
 * "seen DISTINCT CPU_US OVERFLOWS". With a pause, it waits so long before each read. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MASK = IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE |
              IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK |
              IN_DONT_FOLLOW };

struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static int inotify;
static long directories;
static char path[8192];
static char **paths;
static size_t room;

static long cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000L + used.ru_utime.tv_usec +
           used.ru_stime.tv_usec;
}

static long rss_kib(void)
{
    char line[256];
    long most = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        sscanf(line, "VmHWM: %ld", &most);
    fclose(status);
    return most;
}

static void walk(size_t length)
{
    static char listing[32768] __attribute__((aligned(8)));
    int watch = inotify_add_watch(inotify, path, MASK);
    if (watch < 0) {
        perror(path);
        exit(1);
    }
    directories++;
    if ((size_t)watch >= room) {
        size_t more = room ? room * 2 : 1 << 16;
        paths = realloc(paths, more * sizeof *paths);
        room = more;
    }
    paths[watch] = strdup(path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    char *names = NULL;
    size_t used = 0, size = 0;
    long got;
    while ((got = syscall(SYS_getdents64, fd, listing, sizeof listing)) > 0) {
        for (long at = 0; at < got;) {
            struct entry *entry = (struct entry *)(listing + at);
            at += entry->length;
            if (entry->type != DT_DIR || !strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
                continue;
            size_t need = strlen(entry->name) + 1;
            if (used + need > size) {
                size = (used + need) * 2;
                names = realloc(names, size);
            }
            memcpy(names + used, entry->name, need);
            used += need;
        }
    }
    close(fd);
    for (size_t at = 0; at < used;) {
        size_t need = strlen(names + at) + 1;
        path[length] = '/';
        memcpy(path + length + 1, names + at, need);
        walk(length + need);
        path[length] = 0;
        at += need;
    }
    free(names);
}

static uint64_t *set;
static size_t distinct;

static void keep(uint64_t hash)
{
    const size_t mask = (1 << 19) - 1;
    if (!set)
        set = calloc(mask + 1, sizeof *set);
    size_t at = hash & mask;
    while (set[at] && set[at] != hash)
        at = (at + 1) & mask;
    distinct += !set[at];
    set[at] = hash;
}

int main(int count, char **arguments)
{
    static char buffer[1 << 20] __attribute__((aligned(8)));
    useconds_t pause = count > 2 ? (useconds_t)atoi(arguments[2]) : 0;
    inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    strcpy(path, arguments[1]);
    walk(strlen(path));
    printf("ready %ld %ld %ld\n", directories, cpu_us(), rss_kib());
    fflush(stdout);
    long before = cpu_us(), overflows = 0;
    for (int end = 0; !end;) {
        struct pollfd told = {inotify, POLLIN, 0};
        poll(&told, 1, -1);
        if (pause)
            usleep(pause);
        long got = read(inotify, buffer, sizeof buffer);
        for (long at = 0; at < got;) {
            struct inotify_event *event = (struct inotify_event *)(buffer + at);
            at += (long)sizeof *event + event->len;
            overflows += !!(event->mask & IN_Q_OVERFLOW);
            if (!event->len || event->mask & IN_ISDIR)
                continue;
            if (!strcmp(event->name, "end")) {
                end = 1;
                continue;
            }
            uint64_t hash = 1469598103934665603u ^ (uint64_t)event->wd * 0x9E3779B97F4A7C15u;
            for (char *letter = event->name; *letter; letter++)
                hash = (hash ^ (unsigned char)*letter) * 1099511628211u;
            keep(hash ? hash : 1);
        }
    }
    printf("seen %zu %ld %ld\n", distinct, cpu_us() - before, overflows);
}
