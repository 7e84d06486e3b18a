/* What follows from several options together: composed URLs, effective values, contradictions. */
#include <string.h>

#include "alloc.h"
#include "cache_template.h"
#include "option.h"
#include "source.h"
#include "text.h"
#include "url.h"

#define LEASE_MARGIN (10 * USEC_PER_SEC)
#define LEASE_DEFAULT_EXTRA (30 * USEC_PER_SEC)
#define SHUTDOWN_DEFAULT_EXTRA (10 * USEC_PER_SEC)

static void set_text(char **field, struct buf *text)
{
	free(*field);
	*field = buf_detach(text, NULL);
}

static void set_origin(struct config *cfg, enum config_id id, char *origin)
{
	free(cfg->origin[id]);
	cfg->origin[id] = origin;
}

static void append_origin(struct config *cfg, enum config_id id, const char *from)
{
	set_origin(cfg, id, xasprintf("%s, from %s", cfg->origin[id], from));
}

static bool is_part(enum config_id id, enum config_id url)
{
	return text_equal(options[id].part_of, options[url].env);
}

/* The part of the URL that comes from the strongest source, or CONFIG_COUNT. */
static enum config_id strongest_part(const struct applied *a, enum config_id url)
{
	enum config_id found = CONFIG_COUNT;

	for (int id = 0; id < CONFIG_COUNT; id++)
		if (is_part((enum config_id)id, url) && a->filled[id] &&
		    (found == CONFIG_COUNT || a->layer[id] > a->layer[found]))
			found = (enum config_id)id;
	return found;
}

/* Whether the parts, and not the URL itself, say where to connect. Reports when both claim to. */
static bool parts_count(const struct config *cfg, const struct applied *a, enum config_id url,
                        enum config_id *ret_part, struct config_errors *errs)
{
	enum config_id part = strongest_part(a, url);

	*ret_part = part;
	if (part == CONFIG_COUNT)
		return false;
	for (int id = 0; id < CONFIG_COUNT; id++)
		if ((is_part((enum config_id)id, url) || id == (int)url) && a->faulty[id])
			return false;
	if (!a->filled[url] || a->layer[part] > a->layer[url])
		return true;
	if (a->layer[part] == a->layer[url])
		config_errors_add(errs, "%s and %s: both set (%s and %s); allowed: one of them",
		                  options[url].env, options[part].env, cfg->origin[url], cfg->origin[part]);
	return false;
}

static void needs(const struct config *cfg, enum config_id id, enum config_id other,
                  struct config_errors *errs)
{
	config_errors_add(errs, "%s: set (%s) without %s", options[id].env, cfg->origin[id],
	                  options[other].env);
}

static void add_host(struct buf *url, const char *host, int64_t port)
{
	size_t len = strlen(host);

	if (strchr(host, ':') && url_host_valid(host, len))
		buf_addf(url, "[%s]", host);
	else if (host[0] == '/')
		url_encode(url, host, len);
	else
		buf_addstr(url, host);
	if (port > 0)
		buf_addf(url, ":%d", (int)port);
}

static void finish_url(struct config *cfg, enum config_id id, char **field, struct buf *url,
                       enum url_kind kind, enum config_id part, struct config_errors *errs)
{
	struct error why = ERROR_INIT;
	struct url parsed;

	if (url_parse(url->data, url->len, kind, &parsed, &why) != OK) {
		config_errors_add(errs, "%s: composed of its parts, it is not valid: %s (%s)", options[id].env,
		                  why.text, cfg->origin[part]);
		return;
	}
	set_text(field, url);
	set_origin(cfg, id, xasprintf("composed of parts, %s", cfg->origin[part]));
}

static void compose_database(struct config *cfg, const struct applied *a, struct config_errors *errs)
{
	static const enum config_id network_parts[] = {CONFIG_db_host, CONFIG_db_port, CONFIG_db_user,
	                                               CONFIG_db_password};
	struct buf url = BUF_INIT;
	size_t errors = errs->n;
	enum config_id part;

	if (!parts_count(cfg, a, CONFIG_database_url, &part, errs))
		return;
	/* A preset that knows the kind of database names none yet. */
	if (a->layer[part] == LAYER_PRESET && !a->filled[CONFIG_db_name])
		return;
	if (!a->filled[CONFIG_db_driver])
		config_errors_add(errs, "DB_DRIVER: not set, but needed by %s (%s); allowed: %s",
		                  options[part].env, cfg->origin[part],
		                  "postgres, mysql, mongodb or sqlite");
	if (!a->filled[CONFIG_db_name] && part != CONFIG_db_name)
		needs(cfg, part, CONFIG_db_name, errs);
	if (text_equal(cfg->db_driver, "sqlite")) {
		for (size_t i = 0; i < ARRAY_SIZE(network_parts); i++)
			if (a->filled[network_parts[i]] && a->layer[network_parts[i]] > LAYER_PRESET)
				config_errors_add(errs, "%s: set (%s), but DB_DRIVER is sqlite (%s)",
				                  options[network_parts[i]].env,
				                  cfg->origin[network_parts[i]], cfg->origin[CONFIG_db_driver]);
		buf_addf(&url, "sqlite:%s", cfg->db_name);
	} else {
		if (cfg->db_password[0] && !cfg->db_user[0])
			needs(cfg, CONFIG_db_password, CONFIG_db_user, errs);
		buf_addf(&url, "%s://", cfg->db_driver);
		url_encode(&url, cfg->db_user, strlen(cfg->db_user));
		if (cfg->db_password[0]) {
			buf_addch(&url, ':');
			url_encode(&url, cfg->db_password, strlen(cfg->db_password));
		}
		if (cfg->db_user[0])
			buf_addch(&url, '@');
		add_host(&url, cfg->db_host[0] ? cfg->db_host : "localhost", cfg->db_port);
		buf_addch(&url, '/');
		url_encode(&url, cfg->db_name, strlen(cfg->db_name));
		if (cfg->db_sslmode[0])
			buf_addf(&url, "?sslmode=%s", cfg->db_sslmode);
	}
	if (cfg->db_sslmode[0] && !text_equal(cfg->db_driver, "postgres"))
		config_errors_add(errs, "DB_SSLMODE: set (%s), but DB_DRIVER is %s (%s); allowed: with postgres",
		                  cfg->origin[CONFIG_db_sslmode], cfg->db_driver[0] ? cfg->db_driver : "not set",
		                  cfg->origin[CONFIG_db_driver]);
	if (errs->n == errors)
		finish_url(cfg, CONFIG_database_url, &cfg->database_url, &url, URL_DATABASE, part, errs);
	explicit_bzero(url.data, url.len);
	buf_release(&url);
}

static void compose_redis(struct config *cfg, const struct applied *a, struct config_errors *errs)
{
	struct buf url = BUF_INIT;
	enum config_id part;

	if (!parts_count(cfg, a, CONFIG_redis_url, &part, errs))
		return;
	if (!cfg->redis_host[0]) {
		needs(cfg, part, CONFIG_redis_host, errs);
		return;
	}
	buf_addstr(&url, "redis://");
	if (cfg->redis_password[0]) {
		buf_addch(&url, ':');
		url_encode(&url, cfg->redis_password, strlen(cfg->redis_password));
		buf_addch(&url, '@');
	}
	add_host(&url, cfg->redis_host, cfg->redis_port);
	buf_addf(&url, "/%d", (int)cfg->redis_db);
	finish_url(cfg, CONFIG_redis_url, &cfg->redis_url, &url, URL_REDIS, part, errs);
	explicit_bzero(url.data, url.len);
	buf_release(&url);
}

/* The placeholders are the cache's business; here is what two options say together. */
static void complete_cache(struct config *cfg, const struct applied *a, struct config_errors *errs)
{
	char ttl[DURATION_TEXT];

	if (a->faulty[CONFIG_cache_layout] || cfg->cache_layout != CONFIG_CACHE_LIST || !cfg->cache_ttl)
		return;
	if (a->filled[CONFIG_cache_ttl] && !a->faulty[CONFIG_cache_ttl])
		config_errors_add(errs,
		                  "CACHE_TTL: %s (%s) contradicts CACHE_LAYOUT of list (%s); allowed: 0",
		                  duration_format(cfg->cache_ttl, ttl), cfg->origin[CONFIG_cache_ttl],
		                  cfg->origin[CONFIG_cache_layout]);
	cfg->cache_ttl = 0;
}

static void check_cache_templates(const struct config *cfg, const struct applied *a, struct config_errors *errs)
{
	struct error err = ERROR_INIT;

	if (a->faulty[CONFIG_cache_layout] || a->faulty[CONFIG_cache_key] || a->faulty[CONFIG_cache_value])
		return;
	if (cache_template_check(cfg->cache_layout == CONFIG_CACHE_LIST, cfg->cache_key, cfg->cache_value, &err))
		config_errors_add(errs, "%s", err.text);
}

static void complete_times(struct config *cfg, const struct applied *a, struct config_errors *errs)
{
	char timeout[DURATION_TEXT], lease[DURATION_TEXT], least[DURATION_TEXT];

	if (a->faulty[CONFIG_webhook_timeout])
		return;
	if (cfg->shutdown_timeout == 0) {
		cfg->shutdown_timeout = cfg->webhook_timeout + SHUTDOWN_DEFAULT_EXTRA;
		append_origin(cfg, CONFIG_shutdown_timeout, options[CONFIG_webhook_timeout].env);
	}
	if (cfg->lease_duration == 0) {
		cfg->lease_duration = cfg->webhook_timeout + LEASE_DEFAULT_EXTRA;
		append_origin(cfg, CONFIG_lease_duration, options[CONFIG_webhook_timeout].env);
	} else if (cfg->lease_duration <= cfg->webhook_timeout + LEASE_MARGIN &&
	           !a->faulty[CONFIG_lease_duration]) {
		/* Else another node could take over a message that is still being sent. */
		config_errors_add(errs,
		                  "LEASE_DURATION: %s (%s) contradicts WEBHOOK_TIMEOUT_SECONDS of %s (%s); "
		                  "allowed: more than %s, or 0",
		                  duration_format(cfg->lease_duration, lease),
		                  cfg->origin[CONFIG_lease_duration],
		                  duration_format(cfg->webhook_timeout, timeout),
		                  cfg->origin[CONFIG_webhook_timeout],
		                  duration_format(cfg->webhook_timeout + LEASE_MARGIN, least));
	}
}

static void complete_node_id(struct config *cfg, const struct applied *a, const char *host_name,
                             struct config_errors *errs)
{
	const struct option *o = &options[CONFIG_node_id];

	if (cfg->node_id[0] || a->faulty[CONFIG_node_id])
		return;
	if (!host_name[0] || option_parse(o, cfg, host_name, strlen(host_name), 0, NULL) != OK)
		config_errors_add(errs,
		                  "NODE_ID: not set (%s), and the host name does not fit; allowed: up to %d "
		                  "visible ASCII characters",
		                  cfg->origin[CONFIG_node_id], (int)o->max);
	else
		append_origin(cfg, CONFIG_node_id, "the host name");
}

/* A listener on all addresses is reached by the loopback one. */
static void complete_client_url(struct config *cfg)
{
	const char *host = cfg->server_host;
	struct buf url = BUF_INIT;

	if (cfg->client_url[0] || cfg->server_port == 0)
		return;
	if (text_equal(host, "0.0.0.0"))
		host = "127.0.0.1";
	else if (text_equal(host, "::"))
		host = "::1";
	buf_addstr(&url, "http://");
	add_host(&url, host, cfg->server_port);
	set_text(&cfg->client_url, &url);
	append_origin(cfg, CONFIG_client_url, "SERVER_HOST and SERVER_PORT");
}

void config_complete(struct config *cfg, const struct applied *a, const char *host_name,
                     struct config_errors *errs)
{
	compose_database(cfg, a, errs);
	compose_redis(cfg, a, errs);
	complete_cache(cfg, a, errs);
	check_cache_templates(cfg, a, errs);
	complete_times(cfg, a, errs);
	complete_node_id(cfg, a, host_name, errs);
	complete_client_url(cfg);
	if (cfg->alert_iteration_count > 0 && !cfg->alert_webhook_url[0] &&
	    !a->faulty[CONFIG_alert_iteration_count] && !a->faulty[CONFIG_alert_webhook_url])
		needs(cfg, CONFIG_alert_iteration_count, CONFIG_alert_webhook_url, errs);
}

int config_check_serve(const struct config *cfg, struct config_errors *errs)
{
	if (cfg->role == CONFIG_ROLE_API || cfg->webhook_url[0])
		return OK;
	config_errors_add(errs, "WEBHOOK_URL: not set (%s), but needed to send (ROLE is %s, %s)",
	                  cfg->origin[CONFIG_webhook_url], cfg->role == CONFIG_ROLE_ALL ? "all" : "worker",
	                  cfg->origin[CONFIG_role]);
	return ERR_CONFIG;
}

const char *config_client_key(const struct config *cfg, enum config_group group)
{
	const struct config_list *keys =
		group == CONFIG_GROUP_MESSAGES ? &cfg->messages_api_keys : &cfg->scheduler_api_keys;

	if (cfg->client_api_key[0])
		return cfg->client_api_key;
	return keys->n > 0 ? keys->at[0].data : NULL;
}
