/* An empty place in a database server for each test, apart from whatever else is there. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_MYSQL
#include <mysql.h>
#endif
#ifdef HAVE_POSTGRES
#include <libpq-fe.h>
#endif

#include "alloc.h"
#include "contract.h"
#include "text.h"

#ifdef HAVE_POSTGRES
static char *fresh_postgres(const char *url)
{
	PGconn *c = PQconnectdb(url);
	PGresult *res = PQexec(c, "SET client_min_messages=error;"
	                          "DROP SCHEMA IF EXISTS herald_contract CASCADE;"
	                          "CREATE SCHEMA herald_contract");
	bool done = PQresultStatus(res) == PGRES_COMMAND_OK;

	if (!done)
		print_error("%s", PQerrorMessage(c));
	PQclear(res);
	PQfinish(c);
	return done ? xasprintf("%s%coptions=-csearch_path%%3Dherald_contract", url,
	                        strchr(url, '?') ? '&' : '?')
	            : NULL;
}
#endif

#ifdef HAVE_MYSQL
/* mysql://USER:PASSWORD@HOST:PORT/DATABASE, of a user who may create databases. One of this process's own
 * is made anew for each test. */
static char mysql_statement[128];
static const char *mysql_url;

static bool mysql_prepare(void)
{
	char *text = xstrdup(strstr(mysql_url, "//") + 2), *host = strchr(text, '@');
	char *password = strchr(text, ':'), *port = host ? strchr(host, ':') : NULL;
	MYSQL *c = mysql_init(NULL);
	bool done = false;

	if (host && port && password && password < host) {
		*host = *password = *port = '\0';
		done = mysql_real_connect(c, host + 1, text, password + 1, NULL,
		                          (unsigned)strtoul(port + 1, NULL, 10), NULL,
		                          CLIENT_MULTI_STATEMENTS) &&
		       !mysql_query(c, mysql_statement) &&
		       (!mysql_more_results(c) || !mysql_next_result(c));
	}
	if (!done)
		print_error("%s\n", mysql_error(c));
	mysql_close(c);
	free(text);
	return done;
}

static void mysql_remove(void)
{
	snprintf(mysql_statement, sizeof(mysql_statement), "DROP DATABASE IF EXISTS herald_%d", getpid());
	mysql_prepare();
}

static char *fresh_mysql(const char *url)
{
	const char *path = strchr(strstr(url, "//") + 2, '/'), *query = strchr(url, '?');

	if (!mysql_url)
		atexit(mysql_remove);
	mysql_url = url;
	snprintf(mysql_statement, sizeof(mysql_statement),
	         "DROP DATABASE IF EXISTS herald_%d;CREATE DATABASE herald_%d", getpid(), getpid());
	if (!path || !mysql_prepare())
		return NULL;
	return xasprintf("%.*s/herald_%d%s", (int)(path - url), url, getpid(), query ? query : "");
}
#endif

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
	return xstrdup(url);
}
