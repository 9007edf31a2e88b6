/* Answers as a client sees them, cut into single ones. */
#ifndef TESTS_KV_RESP_STREAM_H
#define TESTS_KV_RESP_STREAM_H

#include <stddef.h>

/* The size of the first whole answer in data; 0: more has to come. */
size_t resp_answer_size(const char *data, size_t size);

/* What follows the header of an array, map or set ("*2\r\n"), and the number in it. */
const char *resp_header(const char *data, size_t size, long long *ret_number);

#endif
