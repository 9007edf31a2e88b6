/* The file that admits.c shares with a test. */
#ifndef TESTS_PLUGINS_ADMITS_H
#define TESTS_PLUGINS_ADMITS_H

#include <stdint.h>

enum { ADMITS_NAMES = 1 << 20, ADMITS_FDS = 65536 };

struct admits_board {
    uint64_t inodes[ADMITS_FDS];    /* inodes of sockets, at the runner's descriptor numbers */
    uint8_t admitted[ADMITS_NAMES]; /* at the client's name; the test clears it */
};

#endif
