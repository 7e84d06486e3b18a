/* A place for one SQLite file per test, and opening it. */
#ifndef HERALD_TEST_STORE_FILE_H
#define HERALD_TEST_STORE_FILE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "store.h"

static char dir[64], path[128], url[160];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/herald-sqlite-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/herald.db", dir);
	snprintf(url, sizeof(url), "sqlite:%s", path);
	return 0;
}

static int teardown(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char name[160];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	rmdir(path);
	return rmdir(dir);
}

static struct store *open_it(void)
{
	const struct store_options options = {.url = url};
	struct error err = ERROR_INIT;
	struct store *s = NULL;

	if (store_open(&s, &options, &err))
		fail_msg("%s", err.text);
	return s;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
