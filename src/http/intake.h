/*
 * A request's way in and out: the callbacks that libmicrohttpd makes for it. Everything that can be refused is
 * refused at the headers, before a body is read: path, method, key, content type, declared length.
 */
#ifndef HERALD_INTAKE_H
#define HERALD_INTAKE_H

#include <microhttpd.h>
#include <stddef.h>

struct connection;
struct request;

/* cls of all: the struct api_thread. */
void *intake_line(void *cls, const char *target, struct MHD_Connection *mhd);
enum MHD_Result intake_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                               const char *version, const char *upload, size_t *upload_len, void **context);
void intake_completed(void *cls, struct MHD_Connection *mhd, void **context,
                      enum MHD_RequestTerminationCode code);

/* Tells a client whose time is up, in bytes of our own, since libmicrohttpd has no way to answer in the middle
 * of a request. */
void intake_too_slow(struct connection *c);

#endif
