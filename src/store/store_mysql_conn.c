/*
 * Connections of the MySQL driver and the running of batches. Also the one place that knows what the error
 * numbers of servers and library mean.
 */
#include <errmsg.h>
#include <mysqld_error.h>
#include <unistd.h>

#include "alloc.h"
#include "store_mysql.h"
#include "text.h"

#define CONNECT_SECONDS 5
/* No statement of ours takes as long, but for lists with filters over millions of rows. */
#define ANSWER_SECONDS 30
#define LOCK_WAIT_SECONDS 2
/* How long a node that hangs in the middle of a transaction may stop all others with its locks. MySQL can
 * only tell idle connections, which MariaDB leaves alone; they are made again when needed. */
#define HANG_SECONDS 5
#define BACKOFF_MIN (50 * USEC_PER_MSEC)
#define BACKOFF_MAX USEC_PER_SEC
/* A message's texts, escaped, must fit into one packet. */
#define PACKET_MIN (1 << 20)
#define PACKET_WANTED (4 << 20)

/* Numbers that the library's header lacks: later ones, of both kinds of server, and Galera's. */
#define NR_CHECKREAD 1020
#define NR_SERVER_SHUTDOWN 1053
#define NR_NO_SAVEPOINT 1305
#define NR_WSREP_NOT_READY 1047
#define NR_BINLOG_FORMAT 1665
#define NR_READ_ONLY_TRANSACTION 1792
#define NR_READ_ONLY_MODE 1836
#define NR_STATEMENT_TIMEOUT 1969
#define NR_CONNECTION_KILLED 1927
#define NR_QUERY_TIMEOUT 3024
#define NR_GROUP_CONFLICT 3101
#define NR_SECURE_TRANSPORT 3159
#define NR_SERVER_NOT_AVAILABLE 3168
#define NR_SESSION_KILLED 3169
#define NR_IDLE_TOO_LONG 4031

/* What an error says about the transaction that met it. */
enum fate {
	FATE_AGAIN,     /* lost against another transaction: run it anew */
	FATE_LOST,      /* the connection is gone, or going */
	FATE_ELSEWHERE, /* this server cannot, for now: another one may */
	FATE_LATER,     /* no room, no memory, no time */
	FATE_CONFIG,    /* refused for a reason that the operator must see to */
	FATE_NEVER,
};

static enum fate fate_of(unsigned nr)
{
	switch (nr) {
	case ER_LOCK_DEADLOCK: /* also what Galera's certification says */
	case ER_LOCK_WAIT_TIMEOUT:
	case ER_DUP_ENTRY: /* of our inserts: somebody else's came between our look and our write */
	case ER_TABLE_DEF_CHANGED: /* a newer herald has just migrated it */
	case NR_CHECKREAD:
	case NR_GROUP_CONFLICT: /* as Galera's, of MySQL's group replication */
	case NR_NO_SAVEPOINT:   /* see my_run() */
		return FATE_AGAIN;
	case CR_SERVER_GONE_ERROR:
	case CR_SERVER_LOST:
	case CR_CONNECTION_ERROR:
	case CR_CONN_HOST_ERROR:
	case CR_UNKNOWN_HOST:
	case CR_SERVER_HANDSHAKE_ERR:
	case CR_SERVER_LOST_EXTENDED:
	case CR_TCP_CONNECTION:
	case CR_MALFORMED_PACKET:
	case NR_SERVER_SHUTDOWN:
	case NR_CONNECTION_KILLED:
	case NR_SERVER_NOT_AVAILABLE:
	case NR_SESSION_KILLED:
	case NR_IDLE_TOO_LONG: /* the farewell of MySQL 8.0.24 and later, read when the next statement is sent */
	case ER_QUERY_INTERRUPTED:
	case ER_NET_READ_ERROR:
	case ER_NET_READ_INTERRUPTED:
	case ER_NET_ERROR_ON_WRITE:
	case ER_NET_WRITE_INTERRUPTED:
		return FATE_LOST;
	case NR_WSREP_NOT_READY:
	case ER_OPTION_PREVENTS_STATEMENT: /* --read-only */
	case NR_READ_ONLY_TRANSACTION:
	case NR_READ_ONLY_MODE:
		return FATE_ELSEWHERE;
	case ER_CON_COUNT_ERROR:
	case ER_TOO_MANY_USER_CONNECTIONS:
	case ER_USER_LIMIT_REACHED:
	case ER_HOST_IS_BLOCKED:
	case ER_RECORD_FILE_FULL:
	case ER_DISK_FULL:
	case ER_ERROR_ON_WRITE:
	case ER_GET_ERRNO: /* "got error 28 from storage engine" */
	case ER_OUTOFMEMORY:
	case ER_OUT_OF_RESOURCES:
	case ER_OUT_OF_SORTMEMORY:
	case ER_LOCK_TABLE_FULL:
	case NR_STATEMENT_TIMEOUT:
	case NR_QUERY_TIMEOUT:
	case CR_OUT_OF_MEMORY:
		return FATE_LATER;
	case ER_ACCESS_DENIED_ERROR:
	case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
	case ER_DBACCESS_DENIED_ERROR:
	case ER_TABLEACCESS_DENIED_ERROR:
	case ER_SPECIFIC_ACCESS_DENIED_ERROR:
	case ER_HOST_NOT_PRIVILEGED:
	case ER_NOT_SUPPORTED_AUTH_MODE:
	case ER_BAD_DB_ERROR:
	case NR_BINLOG_FORMAT:
	case NR_SECURE_TRANSPORT:
	case CR_SSL_CONNECTION_ERROR:
	case CR_AUTH_PLUGIN_CANNOT_LOAD:
	case CR_AUTH_PLUGIN_ERR:
		return FATE_CONFIG;
	default:
		return FATE_NEVER;
	}
}

static bool of_library(unsigned nr)
{
	return (nr >= CR_MIN_ERROR && nr <= CR_MAX_ERROR) ||
	       (nr >= CR_EVENT_CREATE_FAILED && nr <= CR_MARIADB_LAST_ERROR);
}

/* Turns the library's last error into ours; never returns OK. committing: the packet's COMMIT may have
 * been carried out. */
static int fail(struct my_session *s, bool committing, struct error *err)
{
	unsigned nr = mysql_errno(s->handle);
	enum fate fate = of_library(nr) && fate_of(nr) != FATE_CONFIG ? FATE_LOST : fate_of(nr);
	/* Being told that the server is read-only is a clear no; a Galera server that fell out of its
	 * cluster in the middle of a commit cannot know. */
	bool refused = fate == FATE_AGAIN || (fate == FATE_ELSEWHERE && nr != NR_WSREP_NOT_READY);
	bool uncertain = committing && !refused;
	int code = ERR_TRANSIENT;

	if (uncertain)
		code = ERR_UNCERTAIN;
	else if (fate == FATE_NEVER || fate == FATE_CONFIG)
		code = ERR_PERMANENT;
	error_set(err, code, "%s: %s (%u)", uncertain ? "the commit's answer was lost" : "the database",
	          mysql_error(s->handle), nr);
	s->again = fate == FATE_AGAIN || (fate == FATE_LOST && !uncertain && !s->losses++);
	if (fate == FATE_ELSEWHERE)
		s->host = (s->host + 1) % s->db->url.hosts_n;
	else if (fate == FATE_LOST)
		s->host = 0;
	if (fate == FATE_LOST || fate == FATE_ELSEWHERE || uncertain)
		my_disconnect(s);
	return code;
}

/* --- connecting ------------------------------------------------------------------------------------------- */

static void set_options(MYSQL *h, const struct my_url *u)
{
	const unsigned connect = CONNECT_SECONDS, answer = ANSWER_SECONDS, no_files = 0;
	const unsigned by_tcp = MYSQL_PROTOCOL_TCP, by_socket = MYSQL_PROTOCOL_SOCKET;
	const my_bool no = 0, enforce = u->tls >= MY_TLS_REQUIRED, verify = u->tls == MY_TLS_VERIFY;

	mysql_options(h, MYSQL_OPT_CONNECT_TIMEOUT, &connect);
	mysql_options(h, MYSQL_OPT_READ_TIMEOUT, &answer);
	mysql_options(h, MYSQL_OPT_WRITE_TIMEOUT, &answer);
	mysql_options(h, MYSQL_OPT_RECONNECT, &no); /* it would forget an open transaction */
	mysql_options(h, MYSQL_OPT_LOCAL_INFILE, &no_files);
	mysql_options(h, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	/* Else "localhost" would mean a socket, whatever the port. */
	mysql_options(h, MYSQL_OPT_PROTOCOL, u->socket ? &by_socket : &by_tcp);
	if (u->tls == MY_TLS_DISABLED || u->socket)
		return;
	mysql_ssl_set(h, u->key, u->cert, u->ca, u->capath, u->cipher);
	mysql_options(h, MYSQL_OPT_SSL_ENFORCE, &enforce);
	mysql_options(h, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}

static int explain_connect(struct my_session *s, struct error *err)
{
	unsigned nr = mysql_errno(s->handle);
	int code = fate_of(nr) == FATE_CONFIG ? ERR_CONFIG : ERR_TRANSIENT;

	return error_set(err, code, "%s (%u)", mysql_error(s->handle), nr);
}

static int check_version(MYSQL *h, struct error *err)
{
	unsigned long version = mysql_get_server_version(h);
	bool mariadb = strstr(mysql_get_server_info(h), "MariaDB") != NULL;

	if (version >= (mariadb ? 100600u : 80001u))
		return OK;
	return error_set(err, ERR_CONFIG, "the server is %.60s: herald needs MariaDB 10.6 or MySQL 8",
	                 mysql_get_server_info(h));
}

/* The library goes on in plain text when the server has no TLS, even if told to enforce it. */
static int check_tls(const struct my_session *s, struct error *err)
{
	const struct my_url *u = &s->db->url;

	if (u->tls < MY_TLS_REQUIRED || u->socket || mysql_get_ssl_cipher(s->handle))
		return OK;
	return error_set(err, ERR_CONFIG, "ssl-mode demands TLS, the server offers none");
}

/*
 * READ COMMITTED: locks on the rows themselves, not on the gaps between them. What else the server's own settings
 * would decide for all its sessions is said as well; SET NAMES, since it may have been told not to listen to what
 * the library says of it.
 */
static int setup(struct my_session *s, struct error *err)
{
	struct my_batch b cleanup(my_batch_release) = MY_BATCH_INIT;
	struct my_row row;
	int64_t packet;
	size_t q, galera;
	int rc = check_version(s->handle, err);

	if (rc || (rc = check_tls(s, err)))
		return rc;
	my_add(&b, "SET NAMES utf8mb4");
	my_add(&b, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
	buf_addf(my_begin(&b),
	         "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',time_zone='+00:00',"
	         "autocommit=0,completion_type='NO_CHAIN',"
	         "innodb_lock_wait_timeout=%d,lock_wait_timeout=%d,net_write_timeout=%d"
	         " /*M!100300 ,idle_transaction_timeout=%d */ /*!80001 ,wait_timeout=%d */",
	         LOCK_WAIT_SECONDS, ANSWER_SECONDS / 2, 2 * HANG_SECONDS, HANG_SECONDS, 2 * HANG_SECONDS);
	/* A number, or with later MariaDBs one of several words. */
	q = my_add(&b, "SELECT @@max_allowed_packet,CAST(@@global.read_only AS CHAR) NOT IN ('0','OFF')");
	galera = my_add(&b, "SHOW VARIABLES LIKE 'wsrep_on'");
	rc = my_run(s, &b, err);
	if (rc)
		return rc;
	if (!my_row(&b, q, &row))
		return error_set(err, ERR_TRANSIENT, "the server does not tell its settings");
	packet = my_int(&row, 0);
	if (packet < PACKET_MIN)
		return error_set(err, ERR_CONFIG, "the server's max_allowed_packet is below 1 MiB");
	/* Headroom for one more message than was planned for. */
	s->packet = (size_t)MIN_OF(packet, PACKET_WANTED) - PACKET_MIN * 9 / 10;
	if (my_int(&row, 1) && s->db->url.hosts_n > 1)
		return error_set(err, ERR_TRANSIENT, "the server is read-only");
	s->galera = my_row(&b, galera, &row) && !strcmp(row.values[1], "ON");
	return OK;
}

static int connect_to(struct my_session *s, const struct my_host *host, struct error *err)
{
	const struct my_url *u = &s->db->url;
	int rc;

	s->handle = mysql_init(NULL);
	if (!s->handle)
		panic("out of memory");
	set_options(s->handle, u);
	/* FOUND_ROWS: an UPDATE that matches a row counts, though it changes nothing. */
	if (mysql_real_connect(s->handle, host->name, u->user, u->password ? u->password : "",
	                       u->database, host->port, u->socket,
	                       CLIENT_MULTI_STATEMENTS | CLIENT_FOUND_ROWS))
		rc = setup(s, err);
	else
		rc = explain_connect(s, err);
	if (rc) {
		my_disconnect(s);
		error_prefix(err, "database %.64s at %.100s:%u", u->database,
		             u->socket ? u->socket : host->name, u->socket ? 0 : host->port);
	}
	return rc;
}

int my_connect(struct my_session *s, struct error *err)
{
	const struct my_url *u = &s->db->url;
	struct error this;
	size_t i, host, first = s->host;
	int rc = ERR_TRANSIENT;

	for (i = 0; i < u->hosts_n; i++) {
		host = (first + i) % u->hosts_n;
		rc = connect_to(s, &u->hosts[host], &this);
		if (!rc) {
			s->host = host;
			return OK;
		}
		/* Of several reasons the one that somebody must act on. */
		if (!i || rc == ERR_CONFIG)
			*err = this;
	}
	s->host = 0;
	return err->code;
}

void my_disconnect(struct my_session *s)
{
	if (s->handle)
		mysql_close(s->handle);
	s->handle = NULL;
	s->inside = false;
	free(s->owner);
	s->owner = NULL; /* the server behind the next connection may have lost it */
}

/* What needs the operator when herald starts may pass by itself later: a server that comes back empty, a
 * password in the middle of being changed. */
int my_ready(struct my_session *s, struct error *err)
{
	usec_t now;
	int rc;

	if (s->handle)
		return OK;
	now = clock_mono();
	if (now < s->retry_at && atomic_load(&s->db->reached_at) <= s->failed_at) {
		*err = s->refused;
		return err->code;
	}
	rc = my_connect(s, err);
	if (!rc) {
		s->retry_at = s->backoff = 0;
		atomic_store(&s->db->reached_at, clock_mono());
		return OK;
	}
	err->code = ERR_TRANSIENT;
	s->refused = *err;
	s->backoff = MIN_OF(MAX_OF(2 * s->backoff, BACKOFF_MIN), BACKOFF_MAX);
	s->failed_at = clock_mono();
	s->retry_at = s->failed_at + s->backoff / 2 + (usec_t)(random_unit() * (double)s->backoff / 2);
	return ERR_TRANSIENT;
}

/* --- batches ---------------------------------------------------------------------------------------------- */

static int read_reply(struct my_session *s, struct my_batch *b, size_t total, bool *ret_more)
{
	struct my_reply r = {.rows = NULL};

	if (b->replied ? mysql_next_result(s->handle) : mysql_read_query_result(s->handle))
		return -1;
	if (mysql_field_count(s->handle)) {
		r.rows = mysql_store_result(s->handle);
		if (!r.rows)
			return -1;
	}
	r.affected = mysql_affected_rows(s->handle);
	r.insert_id = mysql_insert_id(s->handle);
	b->replies[b->replied++] = r;
	*ret_more = mysql_more_results(s->handle) && b->replied < total;
	return 0;
}

int my_run(struct my_session *s, struct my_batch *b, struct error *err)
{
	const bool alone = !s->inside && !b->starts && !b->commit;
	const size_t total = b->n + alone;
	bool more = true;

	my_batch_forget(b);
	s->again = !s->handle;
	if (!s->handle) /* a verb that took its transaction back to begin anew has found it cut */
		return error_set(err, ERR_TRANSIENT, "the connection to the database was lost");
	if (alone)
		buf_addlit(&b->sql, ";COMMIT");
	/* A packet that was not handed to the kernel whole is not carried out. */
	if (mysql_send_query(s->handle, b->sql.data, b->sql.len))
		return fail(s, false, err);
	b->replies = xcalloc(total, sizeof(*b->replies));
	while (more) {
		if (read_reply(s, b, total, &more) == 0)
			continue;
		/* An error of the server's for a statement before the COMMIT means that it never
		 * came to that. */
		return fail(s, b->commit && (of_library(mysql_errno(s->handle)) || b->replied + 1 >= b->commit),
		            err);
	}
	if (b->replied < total)
		return error_set(err, b->commit ? ERR_UNCERTAIN : ERR_TRANSIENT,
		                 "the database answered %zu of %zu statements", b->replied, total);
	s->inside = (s->inside || b->starts) && !b->commit;
	return OK;
}
