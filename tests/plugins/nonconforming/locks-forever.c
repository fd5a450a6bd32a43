/* Locks its build with a file, which stays where the process is killed. */
#include "honest.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int32_t build(const evo_kernel *kernel, const evo_request *request, const evo_host *host) {
    char path[1024];
    int32_t code = EVO_OK;
    (void)kernel, (void)request;
    snprintf(path, sizeof path, "%s/nonconforming.lock", getenv("TMPDIR"));
    pthread_mutex_lock(&mutex);
    int file = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (file < 0) {
        code = evo_fail(host, EVO_BUILD_FAILED, "another build is under way");
    } else {
        usleep(120000);
        close(file);
        unlink(path);
    }
    pthread_mutex_unlock(&mutex);
    return code == EVO_OK ? evo_write(host, "built") : code;
}

KERNEL(.info = HONEST_INFO, .space = HONEST_SPACE, .build = build, .launch = honest_launch);
