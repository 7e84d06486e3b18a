/* An empty place in a database server for each test, apart from whatever else is there; and the server's
 * clock in the hand of the tests, where the driver asks for the time by a function of its own. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_MYSQL
#include <mysql.h>
#endif
#ifdef HAVE_POSTGRES
#include <libpq-fe.h>
#endif
#ifdef HAVE_MONGODB
#include <mongoc/mongoc.h>
#endif

#include "alloc.h"
#include "contract.h"
#include "text.h"

#ifdef HAVE_POSTGRES
static PGconn *postgres;
static bool postgres_clock_made;

static bool postgres_exec(const char *sql)
{
	PGresult *res = PQexec(postgres, sql);
	ExecStatusType status = PQresultStatus(res);

	PQclear(res);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		print_error("%s", PQerrorMessage(postgres));
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static bool postgres_left(void)
{
	PGresult *res = PQexec(postgres, "SELECT 1 FROM pg_stat_activity WHERE datname=current_database()"
	                                 " AND application_name='herald' LIMIT 1");
	bool left = PQresultStatus(res) == PGRES_TUPLES_OK && !PQntuples(res);

	PQclear(res);
	return left;
}

static void postgres_remove(void)
{
	PQfinish(postgres);
}

static char *fresh_postgres(const char *url)
{
	if (!postgres) {
		postgres = PQconnectdb(url);
		atexit(postgres_remove);
	}
	postgres_clock_made = false;
	if (!postgres_exec("SET client_min_messages=error; SET synchronous_commit=off"))
		return NULL;
	return postgres_exec("DROP SCHEMA IF EXISTS herald_contract CASCADE;"
	                     "CREATE SCHEMA herald_contract")
	               ? xasprintf("%s%coptions=-csearch_path%%3Dherald_contract", url,
	                           strchr(url, '?') ? '&' : '?')
	               : NULL;
}
#endif

#ifdef HAVE_MYSQL
/* mysql://USER:PASSWORD@HOST:PORT/DATABASE, of a user who may create databases. One of this process's own
 * is made anew for each test. */
static char mysql_statement[128];
static const char *mysql_url;

static bool mysql_prepare(bool *ret_rows)
{
	char *text = xstrdup(strstr(mysql_url, "//") + 2), *host = strchr(text, '@');
	char *password = strchr(text, ':'), *port = host ? strchr(host, ':') : NULL;
	MYSQL *c = mysql_init(NULL);
	MYSQL_RES *rows = NULL;
	bool done = false;

	if (host && port && password && password < host) {
		*host = *password = *port = '\0';
		done = mysql_real_connect(c, host + 1, text, password + 1, NULL,
		                          (unsigned)strtoul(port + 1, NULL, 10), NULL,
		                          CLIENT_MULTI_STATEMENTS) &&
		       !mysql_query(c, mysql_statement);
		rows = done ? mysql_store_result(c) : NULL;
		done = done && (!mysql_more_results(c) || !mysql_next_result(c));
	}
	if (ret_rows)
		*ret_rows = rows && mysql_num_rows(rows) > 0;
	mysql_free_result(rows);
	if (!done)
		print_error("%s\n", mysql_error(c));
	mysql_close(c);
	free(text);
	return done;
}

static void mysql_remove(void)
{
	snprintf(mysql_statement, sizeof(mysql_statement), "DROP DATABASE IF EXISTS herald_%d", getpid());
	mysql_prepare(NULL);
}

static bool mysql_left(void)
{
	bool some = true;

	snprintf(mysql_statement, sizeof(mysql_statement),
	         "SELECT 1 FROM information_schema.processlist WHERE db='herald_%d'", getpid());
	return mysql_prepare(&some) && !some;
}

/* A server under libfaketime reads its clock from a file. Half a microsecond more, since what reads it
 * calculates with floating point numbers and then cuts. */
static bool mysql_clock(usec_t now)
{
	char text[32];
	int fd = open(getenv("HERALD_TEST_MYSQL_CLOCK"), O_WRONLY | O_CLOEXEC);
	int len = snprintf(text, sizeof(text), "%" PRId64 ".%06" PRId64 "5\n", now / USEC_PER_SEC,
	                   now % USEC_PER_SEC);
	/* In place and in one piece: the server may look at any time. */
	bool done = fd >= 0 && write(fd, text, (size_t)len) == len;

	if (fd >= 0)
		close(fd);
	return done;
}

static char *fresh_mysql(const char *url)
{
	const char *path = strchr(strstr(url, "//") + 2, '/'), *query = strchr(url, '?');

	if (!mysql_url)
		atexit(mysql_remove);
	mysql_url = url;
	snprintf(mysql_statement, sizeof(mysql_statement),
	         "DROP DATABASE IF EXISTS herald_%d;CREATE DATABASE herald_%d", getpid(), getpid());
	if (!path || !mysql_prepare(NULL))
		return NULL;
	return xasprintf("%.*s/herald_%d%s", (int)(path - url), url, getpid(), query ? query : "");
}
#endif

#ifdef HAVE_MONGODB
/* A database comes into being by being used; one for each test, so that nothing of the last is in the way
 * of indexes being made. */
static const char *mongodb_url;
static char mongodb_name[48];

static bool mongodb_drop(void)
{
	mongoc_client_t *client;
	mongoc_database_t *database;
	bson_error_t e = {.code = 0};
	bool done;

	if (!mongodb_name[0])
		return true;
	client = mongoc_client_new(mongodb_url);
	database = mongoc_client_get_database(client, mongodb_name);
	done = mongoc_database_drop(database, &e);
	if (!done)
		print_error("%s\n", e.message);
	mongoc_database_destroy(database);
	mongoc_client_destroy(client);
	return done;
}

static void mongodb_remove(void)
{
	mongodb_drop();
}

static char *fresh_mongodb(const char *url)
{
	const char *path = strchr(strstr(url, "//") + 2, '/'), *query = strchr(url, '?');
	static int number;

	if (!mongodb_url) {
		mongoc_init();
		atexit(mongodb_remove);
	}
	mongodb_url = url;
	if (!path || !mongodb_drop())
		return NULL;
	snprintf(mongodb_name, sizeof(mongodb_name), "herald_%d_%d", getpid(), ++number);
	return xasprintf("%.*s/%s%s", (int)(path - url), url, mongodb_name, query ? query : "");
}
#endif

bool database_clock(usec_t now)
{
#ifdef HAVE_POSTGRES
	char sql[100];

	if (postgres && !postgres_clock_made)
		postgres_clock_made = postgres_exec(
			"CREATE TABLE herald_contract.clock(now bigint);"
			"INSERT INTO herald_contract.clock VALUES(0);"
			"CREATE OR REPLACE FUNCTION herald_contract.herald_now() RETURNS bigint"
			" LANGUAGE sql AS 'SELECT now FROM herald_contract.clock'");
	if (postgres) {
		snprintf(sql, sizeof(sql), "UPDATE herald_contract.clock SET now=%" PRId64, now);
		return postgres_exec(sql);
	}
#endif
#ifdef HAVE_MYSQL
	if (mysql_url && getenv("HERALD_TEST_MYSQL_CLOCK"))
		return mysql_clock(now);
#endif
	(void)now;
	return false;
}

bool database_left(void)
{
#ifdef HAVE_POSTGRES
	if (postgres)
		return postgres_left();
#endif
#ifdef HAVE_MYSQL
	if (mysql_url)
		return mysql_left();
#endif
	return true;
}

char *fresh_database(const char *url)
{
#ifdef HAVE_MYSQL
	if (text_starts_with(url, "mysql:") || text_starts_with(url, "mariadb:"))
		return fresh_mysql(url);
#endif
#ifdef HAVE_POSTGRES
	if (text_starts_with(url, "postgres:") || text_starts_with(url, "postgresql:"))
		return fresh_postgres(url);
#endif
#ifdef HAVE_MONGODB
	if (text_starts_with(url, "mongodb:") || text_starts_with(url, "mongodb+srv:"))
		return fresh_mongodb(url);
#endif
	return xstrdup(url);
}
