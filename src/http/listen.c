#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attr.h"

#define BACKLOG 1024

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage space;
};

static int bind_one(const union address *a, socklen_t len, bool share)
{
	const int on = 1;
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (!share || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
	    bind(fd, &a->sa, len) == 0)
		return fd;
	len = (socklen_t)errno;
	close(fd);
	errno = (int)len;
	return -1;
}

static void close_all(int *fds, size_t n)
{
	int saved = errno;

	for (size_t i = 0; i < n; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
	errno = saved;
}

/* Sockets that share a port would silently split another herald's connections with it: a first socket that does
 * not share finds out whether the port is free. For port 0 it also picks one. */
static int probe(union address *a, socklen_t len)
{
	int fd = bind_one(a, len, false);

	if (fd < 0)
		return -1;
	if (listen(fd, 1) < 0 || getsockname(fd, &a->sa, &len) < 0) {
		close_all(&fd, 1);
		return -1;
	}
	close(fd);
	return 0;
}

static int open_address(const struct addrinfo *info, int port, int *fds, size_t n, union address *ret)
{
	union address a = {0};
	socklen_t len = info->ai_addrlen;

	if (len > sizeof(a)) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	memcpy(&a, info->ai_addr, len);
	if (a.sa.sa_family == AF_INET6)
		a.in6.sin6_port = htons((uint16_t)port);
	else
		a.in.sin_port = htons((uint16_t)port);
	if (probe(&a, len) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		fds[i] = bind_one(&a, len, true);
		if (fds[i] < 0 || listen(fds[i], BACKLOG) < 0) {
			close_all(fds, n);
			return -1;
		}
	}
	*ret = a;
	return 0;
}

static void describe(const union address *a, char *url, size_t url_size)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (a->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->in6.sin6_addr, text, sizeof(text));
		snprintf(url, url_size, "http://[%s]:%d", text, ntohs(a->in6.sin6_port));
	} else {
		inet_ntop(AF_INET, &a->in.sin_addr, text, sizeof(text));
		snprintf(url, url_size, "http://%s:%d", text, ntohs(a->in.sin_port));
	}
}

int listen_open(const char *host, int port, int *fds, size_t n, char *url, size_t url_size, struct error *err)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list;
	union address bound;
	int code, saved = 0;

	for (size_t i = 0; i < n; i++)
		fds[i] = -1;
	code = getaddrinfo(*host ? host : NULL, "0", &hints, &list);
	if (code)
		return error_set(err, ERR_CONFIG, "SERVER_HOST %s: %s", host, gai_strerror(code));
	for (const struct addrinfo *i = list; i; i = i->ai_next) {
		if (open_address(i, port, fds, n, &bound) == 0) {
			freeaddrinfo(list);
			describe(&bound, url, url_size);
			return OK;
		}
		saved = errno;
		if (saved == EADDRINUSE)
			break; /* another address of the name would surprise more than it helps */
	}
	freeaddrinfo(list);
	if (saved == EADDRINUSE)
		return error_set(err, ERR_CONFIG, "cannot listen on %s port %d: the port is in use", host, port);
	return error_errno(err, ERR_CONFIG, saved, "cannot listen on %s port %d", host, port);
}
