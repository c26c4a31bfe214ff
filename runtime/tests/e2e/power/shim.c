/*
 * Stands between a process and its disk, for tests: LD_PRELOAD.
 *
 * In:  POWER_DIR, the folder that is watched; POWER_JOURNAL, a file that is written; POWER_GRAVE, a folder on the same file
 *      system; POWER_FAULT, a file whose words say what shall fail, if it is there.
 * Out: a journal of everything that a loss of power could take back, and of everything that was made durable. Whoever kills
 *      the process reads it afterwards and takes back what was not durable (power.rs).
 *
 * Nothing is delayed or dropped here: the process sees its files as always. A write is written down, with the bytes that it
 * overwrites, before it is done; a sync after it is done, with the number of the last write before it began. What is written
 * through a shared mapping would escape the journal: such a mapping ends the process.
 *
 * With POWER_SKIP_SYNC the disk is not synced in truth: the journal alone says what is durable, and tests are quick.
 *
 * Lines: number, tab, kind, then fields apart by tabs.
 *   w inode old-size offset length old-bytes    t inode old-size new-size old-bytes    s inode upto
 *   c path    m path    u path grave    r from to grave    d path upto
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 65536
#define OLD_MAX (1 << 20)

/* The path behind each descriptor of the watched folder; NULL for all others. */
static char *paths[FDS];
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static unsigned long long number, graves;
static int journal = -1, skip_sync;
static const char *folder, *grave_folder, *fault_file;
static size_t folder_length;

#define REAL(result, name, ...)                              \
    static result (*real)(__VA_ARGS__);                      \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int real_open(const char *path, int flags, mode_t mode)
{
    REAL(int, "open", const char *, int, ...);
    return real(path, flags, mode);
}

static ssize_t real_write(int fd, const void *bytes, size_t count)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    return real(fd, bytes, count);
}

static void die(const char *why)
{
    dprintf(2, "power shim: %s\n", why);
    _exit(111);
}

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("POWER_JOURNAL");
    folder = getenv("POWER_DIR");
    grave_folder = getenv("POWER_GRAVE");
    fault_file = getenv("POWER_FAULT");
    skip_sync = getenv("POWER_SKIP_SYNC") != NULL;
    if (!path || !folder || !grave_folder) {
        folder = NULL;
        return;
    }
    folder_length = strlen(folder);
    journal = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) die("no journal");
}

static int watched_path(const char *path)
{
    return folder && path && strncmp(path, folder, folder_length) == 0 &&
           (path[folder_length] == '/' || path[folder_length] == 0);
}

static const char *watched(int fd)
{
    return fd >= 0 && fd < FDS ? paths[fd] : NULL;
}

/* Whether this kind of operation shall fail now. */
static int fault(const char *kind)
{
    char words[256];
    ssize_t count;
    int fd;
    if (!fault_file || access(fault_file, F_OK) != 0) return 0;
    fd = real_open(fault_file, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    count = read(fd, words, sizeof words - 1);
    close(fd);
    if (count <= 0) return 0;
    words[count] = 0;
    if (!strstr(words, kind)) return 0;
    errno = strstr(words, "enospc") ? ENOSPC : EIO;
    return 1;
}

/* To be called with the lock held. */
static void note(const char *format, ...)
{
    char line[2 * PATH_MAX + 256];
    int begin = snprintf(line, sizeof line, "%llu\t", ++number), length;
    va_list fields;
    va_start(fields, format);
    length = begin + vsnprintf(line + begin, sizeof line - begin - 1, format, fields);
    va_end(fields);
    if (length >= (int)sizeof line - 1) die("a line is too long");
    line[length++] = '\n';
    if (real_write(journal, line, length) != length) die("the journal cannot be written");
}

/* The same, ending in bytes that are about to be lost: as much of the file as there is from `from` to `to`. */
static void note_old(int fd, off_t from, off_t to, const char *format, ...)
{
    size_t count = from < to ? (size_t)(to - from) : 0, at;
    char *line, *out, path[64];
    unsigned char *old;
    va_list fields;
    int again;
    if (count > OLD_MAX) die("more is overwritten at a time than is expected");
    line = malloc(512 + 2 * count);
    old = malloc(count + 1);
    if (!line || !old) die("no memory");
    if (count) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        again = real_open(path, O_RDONLY | O_CLOEXEC, 0);
        if (again < 0 || pread(again, old, count, from) != (ssize_t)count) die("what is overwritten cannot be read");
        close(again);
    }
    out = line + sprintf(line, "%llu\t", ++number);
    va_start(fields, format);
    out += vsnprintf(out, 256, format, fields);
    va_end(fields);
    for (at = 0; at < count; at++) out += sprintf(out, "%02x", old[at]);
    *out++ = '\n';
    if (real_write(journal, line, out - line) != out - line) die("the journal cannot be written");
    free(old);
    free(line);
}

static void keep(int fd, const char *path)
{
    if (fd >= FDS) die("too many files");
    free(paths[fd]);
    paths[fd] = strdup(path);
}

static void forget(int fd)
{
    pthread_mutex_lock(&lock);
    free(paths[fd]);
    paths[fd] = NULL;
    pthread_mutex_unlock(&lock);
}

static void note_write(int fd, off_t at, size_t count)
{
    struct stat now;
    off_t end = at + (off_t)count;
    if (fstat(fd, &now) != 0) die("a file cannot be looked at");
    if (at < 0) at = now.st_size, end = at + (off_t)count;
    note_old(fd, at, end < now.st_size ? end : now.st_size, "w\t%llu\t%lld\t%lld\t%zu\t",
             (unsigned long long)now.st_ino, (long long)now.st_size, (long long)at, count);
}

static void note_truncate(int fd, off_t to)
{
    struct stat now;
    if (fstat(fd, &now) != 0) die("a file cannot be looked at");
    if (now.st_size != to)
        note_old(fd, to, now.st_size, "t\t%llu\t%lld\t%lld\t", (unsigned long long)now.st_ino,
                 (long long)now.st_size, (long long)to);
}

/* Where the next write of a descriptor goes; -1 is the end. */
static off_t place(int fd)
{
    return fcntl(fd, F_GETFL) & O_APPEND ? -1 : lseek(fd, 0, SEEK_CUR);
}

static int opened(const char *path, int flags, mode_t mode)
{
    int fd, new;
    if (!watched_path(path)) {
        fd = real_open(path, flags, mode);
        if (watched(fd)) forget(fd);
        return fd;
    }
    pthread_mutex_lock(&lock);
    new = (flags & O_CREAT) && access(path, F_OK) != 0;
    if (new && fault("create")) {
        pthread_mutex_unlock(&lock);
        return -1;
    }
    fd = real_open(path, flags & ~O_TRUNC, mode);
    if (fd >= 0) {
        if (new) note("c\t%s", path);
        if (flags & O_TRUNC) {
            REAL(int, "ftruncate", int, off_t);
            note_truncate(fd, 0);
            if (real(fd, 0) != 0) die("a file cannot be truncated");
        }
        keep(fd, path);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(name)                                                          \
    int name(const char *path, int flags, ...)                              \
    {                                                                       \
        va_list more;                                                       \
        mode_t mode = 0;                                                    \
        va_start(more, flags);                                              \
        if (flags & (O_CREAT | O_TMPFILE)) mode = va_arg(more, mode_t);     \
        va_end(more);                                                       \
        return opened(path, flags, mode);                                   \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                        \
    int name(int at, const char *path, int flags, ...)                      \
    {                                                                       \
        va_list more;                                                       \
        mode_t mode = 0;                                                    \
        REAL(int, #name, int, const char *, int, ...);                      \
        va_start(more, flags);                                              \
        if (flags & (O_CREAT | O_TMPFILE)) mode = va_arg(more, mode_t);     \
        va_end(more);                                                       \
        return watched_path(path) ? opened(path, flags, mode) : real(at, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

int creat(const char *path, mode_t mode)
{
    return opened(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    REAL(int, "close", int);
    if (watched(fd)) forget(fd);
    return real(fd);
}

int fclose(FILE *file)
{
    REAL(int, "fclose", FILE *);
    if (watched(fileno(file))) forget(fileno(file));
    return real(file);
}

/* One write, noted before it is done; nothing comes between the two. */
#define WRITING(fd, at, count, call)              \
    do {                                          \
        ssize_t done;                             \
        if (!watched(fd)) return call;            \
        if (fault("write")) return -1;            \
        pthread_mutex_lock(&lock);                \
        note_write(fd, at, count);                \
        done = call;                              \
        pthread_mutex_unlock(&lock);              \
        return done;                              \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t count)
{
    WRITING(fd, place(fd), count, real_write(fd, bytes, count));
}

#define PREAD(name)                                                           \
    ssize_t name(int fd, void *bytes, size_t count, off_t at)                 \
    {                                                                         \
        REAL(ssize_t, #name, int, void *, size_t, off_t);                     \
        return watched(fd) && fault("read") ? -1 : real(fd, bytes, count, at); \
    }
PREAD(pread)
PREAD(pread64)

#define PWRITE(name)                                                          \
    ssize_t name(int fd, const void *bytes, size_t count, off_t at)           \
    {                                                                         \
        REAL(ssize_t, #name, int, const void *, size_t, off_t);               \
        WRITING(fd, at, count, real(fd, bytes, count, at));                   \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

static size_t total(const struct iovec *parts, int count)
{
    size_t bytes = 0;
    while (count-- > 0) bytes += parts[count].iov_len;
    return bytes;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    WRITING(fd, place(fd), total(parts, count), real(fd, parts, count));
}

#define PWRITEV(name)                                                         \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t at)      \
    {                                                                         \
        REAL(ssize_t, #name, int, const struct iovec *, int, off_t);          \
        WRITING(fd, at, total(parts, count), real(fd, parts, count, at));     \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define FTRUNCATE(name)                                    \
    int name(int fd, off_t length)                         \
    {                                                      \
        int done;                                          \
        REAL(int, #name, int, off_t);                      \
        if (!watched(fd)) return real(fd, length);         \
        if (fault("write")) return -1;                     \
        pthread_mutex_lock(&lock);                         \
        note_truncate(fd, length);                         \
        done = real(fd, length);                           \
        pthread_mutex_unlock(&lock);                       \
        return done;                                       \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

static int synced(int fd, int (*real)(int))
{
    struct stat now;
    unsigned long long upto;
    const char *path = watched(fd);
    if (!path) return real(fd);
    if (fault("sync")) return -1;
    pthread_mutex_lock(&lock);
    upto = number;
    pthread_mutex_unlock(&lock);
    if (!skip_sync && real(fd) != 0) return -1;
    if (fstat(fd, &now) != 0) die("a file cannot be looked at");
    pthread_mutex_lock(&lock);
    if (S_ISDIR(now.st_mode)) note("d\t%s\t%llu", path, upto);
    else note("s\t%llu\t%llu", (unsigned long long)now.st_ino, upto);
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd)
{
    REAL(int, "fsync", int);
    return synced(fd, real);
}

int fdatasync(int fd)
{
    REAL(int, "fdatasync", int);
    return synced(fd, real);
}

/* Begins to write back, and promises nothing. */
int sync_file_range(int fd, off64_t at, off64_t count, unsigned flags)
{
    REAL(int, "sync_file_range", int, off64_t, off64_t, unsigned);
    return watched(fd) && skip_sync ? 0 : real(fd, at, count, flags);
}

/* What is about to lose its name gets another one, so that it can come back. */
static void bury(const char *path, char *grave, size_t size)
{
    snprintf(grave, size, "%s/%d-%llu", grave_folder, getpid(), ++graves);
    if (link(path, grave) != 0) strcpy(grave, "-");
}

int unlink(const char *path)
{
    char grave[PATH_MAX];
    int done;
    REAL(int, "unlink", const char *);
    if (!watched_path(path)) return real(path);
    pthread_mutex_lock(&lock);
    if (access(path, F_OK) == 0) {
        bury(path, grave, sizeof grave);
        note("u\t%s\t%s", path, grave);
    }
    done = real(path);
    pthread_mutex_unlock(&lock);
    return done;
}

int rename(const char *from, const char *to)
{
    char grave[PATH_MAX];
    int done;
    REAL(int, "rename", const char *, const char *);
    if (!watched_path(from) && !watched_path(to)) return real(from, to);
    pthread_mutex_lock(&lock);
    if (access(from, F_OK) == 0) {
        bury(to, grave, sizeof grave);
        note("r\t%s\t%s\t%s", from, to, grave);
    }
    done = real(from, to);
    pthread_mutex_unlock(&lock);
    return done;
}

int mkdir(const char *path, mode_t mode)
{
    int done;
    REAL(int, "mkdir", const char *, mode_t);
    if (!watched_path(path)) return real(path, mode);
    pthread_mutex_lock(&lock);
    if (access(path, F_OK) != 0) note("m\t%s", path);
    done = real(path, mode);
    pthread_mutex_unlock(&lock);
    return done;
}

#define MMAP(name)                                                                          \
    void *name(void *where, size_t length, int protection, int flags, int fd, off_t at)     \
    {                                                                                       \
        REAL(void *, #name, void *, size_t, int, int, int, off_t);                          \
        if (watched(fd) && (protection & PROT_WRITE) && (flags & MAP_SHARED))               \
            die("a file is written through a mapping");                                     \
        return real(where, length, protection, flags, fd, at);                              \
    }
MMAP(mmap)
MMAP(mmap64)
