/* Runs a fuzz target over the files of the folders (or the files) given, once each. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int ran;

static int
run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(1u << 24);
    size_t n;

    if (f == NULL || bytes == NULL) {
        fprintf(stderr, "replay: cannot read %s\n", path);
        if (f != NULL)
            fclose(f);
        free(bytes);
        return 1;
    }
    n = fread(bytes, 1, 1u << 24, f);
    fclose(f);
    /* An exact copy, so that a read past the end is seen by the sanitizer. */
    uint8_t *exact = malloc(n > 0 ? n : 1);
    if (exact != NULL) {
        memcpy(exact, bytes, n);
        (void)LLVMFuzzerTestOneInput(exact, n);
        ran++;
    }
    free(exact);
    free(bytes);
    return exact == NULL;
}

int
main(int argc, char **argv)
{
    int bad = 0;

    for (int i = 1; i < argc; i++) {
        struct stat st;
        DIR *dir;

        if (stat(argv[i], &st) == 0 && !S_ISDIR(st.st_mode)) {
            bad |= run_file(argv[i]);
            continue;
        }
        dir = opendir(argv[i]);
        if (dir == NULL) {
            fprintf(stderr, "replay: no seeds at %s\n", argv[i]);
            return 1;
        }
        for (struct dirent *e; (e = readdir(dir)) != NULL;) {
            char path[4096];

            if (e->d_name[0] == '.')
                continue;
            (void)snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            bad |= run_file(path);
        }
        closedir(dir);
    }
    if (ran == 0) {
        fprintf(stderr, "replay: not one seed was run\n");
        return 1;
    }
    return bad;
}
