/* Splits a stream of answers, as a client sees them. */
#ifndef TESTS_KV_RESP_STREAM_H
#define TESTS_KV_RESP_STREAM_H

#include <stddef.h>

/* The size of the first complete answer in data; 0: more bytes must come. */
size_t resp_answer_size(const char *data, size_t size);

/* The bytes after the header of an array, map or set ("*2\r\n"), and the number in the header. */
const char *resp_header(const char *data, size_t size, long long *ret_number);

#endif
