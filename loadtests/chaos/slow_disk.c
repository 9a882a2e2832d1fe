/* Stands between a server and its disk: every sync takes longer by so many microseconds as the file $SLOW_DISK says in
 * its first 8 bytes. The file is mapped once, so that a disk which is not slowed costs one read of memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t none;
static volatile uint64_t *extra_us = &none;

__attribute__((constructor)) static void map(void) {
    const char *path = getenv("SLOW_DISK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *found = mmap(NULL, sizeof *extra_us, PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED)
        extra_us = found;
    close(file);
}

static void wait_longer(void) {
    uint64_t us = *extra_us;
    struct timespec left = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    while (us && nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

int fdatasync(int file) {
    wait_longer();
    return (int)syscall(SYS_fdatasync, file);
}

int fsync(int file) {
    wait_longer();
    return (int)syscall(SYS_fsync, file);
}
