/*
 * Loading, in two steps: read all sources into lists of settings (flags first, since they may name the
 * YAML file), then apply the lists from the weakest to the strongest. Every setting is checked, also one
 * that a stronger source overrides: a wrong line is wrong today, not on the day when the override goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "option.h"
#include "source.h"
#include "text.h"

#define FILE_MAX ((size_t)1 << 20)
#define HOST_NAME_SIZE 256

/* 0, or an errno. EFBIG: larger than a configuration may be. */
static int read_file(const char *dir, const char *path, struct buf *out)
{
	int dir_fd = AT_FDCWD, fd, error = 0;
	ssize_t n;

	if (dir) {
		dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir_fd < 0)
			return errno;
	}
	fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	error = fd < 0 ? errno : 0;
	if (dir_fd >= 0)
		close(dir_fd);
	if (fd < 0)
		return error;
	do {
		buf_reserve(out, 16384);
		n = read(fd, out->data + out->len, 16384);
		if (n > 0) {
			out->len += (size_t)n;
			out->data[out->len] = '\0';
		} else if (n < 0 && errno != EINTR) {
			error = errno;
		}
		if (out->len > FILE_MAX)
			error = EFBIG;
	} while (error == 0 && n != 0);
	close(fd);
	return error;
}

static void release_text(struct buf *b)
{
	explicit_bzero(b->data, b->len);
	buf_release(b);
}

static void load_file(struct settings *s, const char *dir, const char *path, bool optional,
                      void (*source)(struct settings *, const char *, const char *, size_t,
                                     struct config_errors *),
                      struct config_errors *errs)
{
	struct buf text = BUF_INIT;
	int error = read_file(dir, path, &text);
	struct error why = ERROR_INIT;

	/* A directory named .env is a Python environment, not ours. */
	if (error == 0) {
		source(s, path, text.data, text.len, errs);
	} else if (!optional || (error != ENOENT && error != EISDIR)) {
		if (error == EFBIG)
			error_set(&why, ERR_CONFIG, "larger than %zu bytes", FILE_MAX);
		else
			error_errno(&why, ERR_CONFIG, error, "cannot be read");
		config_errors_add(errs, "%s: %s", path, why.text);
	}
	release_text(&text);
}

struct apply {
	struct config cfg;
	struct applied done;
	bool alias[CONFIG_COUNT];
	struct config_errors *errs;
};

static const char *name_of(const struct setting *s)
{
	return s->alias ? options[s->id].alias : options[s->id].env;
}

/* Two values for one option in one source: which of them was meant cannot be known. Only a repeated flag
 * is a common habit (`herald serve --port 8080 "$@"`): the last one counts. */
static void check_repeated(struct apply *a, enum layer layer, const struct setting *s, const char *before)
{
	const struct option *o = &options[s->id];
	bool was_alias = a->alias[s->id];
	struct buf now = BUF_INIT;

	option_format(o, &a->cfg, &now);
	if (!text_equal(now.data, before) && !(layer == LAYER_FLAG && was_alias == s->alias)) {
		if (was_alias == s->alias)
			config_errors_add(a->errs, "%s: set to two different values (%s and %s)", name_of(s),
			                  a->cfg.origin[s->id], s->origin);
		else
			config_errors_add(a->errs,
			                  "%s and %s: set to different values (%s and %s); allowed: one of them",
			                  o->env, o->alias, a->cfg.origin[s->id], s->origin);
		a->done.faulty[s->id] = true;
	}
	release_text(&now);
}

static void apply_one(struct apply *a, enum layer layer, const struct setting *s)
{
	const struct option *o = &options[s->id];
	struct buf before = BUF_INIT;
	struct error err = ERROR_INIT;

	/* Files and compose templates leave names empty to say "not set". */
	if (s->len == 0 && o->fallback[0] && layer != LAYER_FLAG)
		return;
	option_format(o, &a->cfg, &before);
	if (option_parse(o, &a->cfg, s->text, s->len, option_unit(o, s->alias), &err) != OK) {
		struct buf allowed = BUF_INIT;

		option_allowed(o, &allowed);
		config_errors_add(a->errs, "%s: %s (%s); allowed: %s", name_of(s), err.text, s->origin,
		                  allowed.data);
		buf_release(&allowed);
		a->done.faulty[s->id] = true;
	} else {
		if (a->done.layer[s->id] == layer && layer != LAYER_DEFAULT)
			check_repeated(a, layer, s, before.data);
		a->done.layer[s->id] = layer;
		a->done.filled[s->id] = s->len > 0 && layer != LAYER_DEFAULT;
		a->alias[s->id] = s->alias;
		free(a->cfg.origin[s->id]);
		a->cfg.origin[s->id] = xstrdup(s->origin);
	}
	release_text(&before);
}

static void apply_defaults(struct apply *a)
{
	for (int id = 0; id < CONFIG_COUNT; id++) {
		const struct option *o = &options[id];
		struct error err = ERROR_INIT;

		if (option_parse(o, &a->cfg, o->fallback, strlen(o->fallback), o->unit, &err) != OK)
			panic("default of %s: %s", o->env, err.text);
		a->cfg.origin[id] = xstrdup("default");
	}
}

int config_apply(struct config *ret, const struct settings *yaml, const struct settings *dotenv,
                 const struct settings *env, const struct settings *flags, const char *host_name,
                 struct config_errors *errs)
{
	const struct settings *layers[] = {[LAYER_YAML] = yaml,
	                                   [LAYER_DOTENV] = dotenv,
	                                   [LAYER_ENVIRON] = env,
	                                   [LAYER_FLAG] = flags};
	struct apply a = {.errs = errs};

	apply_defaults(&a);
	for (int layer = LAYER_YAML; layer <= LAYER_FLAG; layer++)
		for (size_t i = 0; layers[layer] && i < layers[layer]->n; i++)
			apply_one(&a, (enum layer)layer, &layers[layer]->at[i]);
	config_complete(&a.cfg, &a.done, host_name, errs);
	if (errs->n > 0) {
		config_release(&a.cfg);
		return ERR_CONFIG;
	}
	*ret = a.cfg;
	return OK;
}

int config_load(struct config *ret, struct config_sources *src, struct config_errors *errs)
{
	struct settings yaml = {0}, dotenv = {0}, env = {0}, flags = {0};
	const struct settings *strongest_first[] = {&flags, &env, &dotenv};
	char host[HOST_NAME_SIZE] = "";
	const char *host_name = src->host_name, *file = NULL;
	int r;

	source_flags(&flags, src, errs);
	source_environ(&env, src->environ, errs);
	load_file(&dotenv, src->dir, ".env", true, source_dotenv, errs);
	for (size_t i = 0; i < ARRAY_SIZE(strongest_first) && !file; i++)
		file = settings_find(strongest_first[i], CONFIG_config_file);
	if (file && file[0])
		load_file(&yaml, src->dir, file, false, source_yaml, errs);
	if (!host_name) {
		if (gethostname(host, sizeof(host) - 1) != 0)
			host[0] = '\0';
		host_name = host;
	}
	r = config_apply(ret, &yaml, &dotenv, &env, &flags, host_name, errs);
	settings_release(&yaml);
	settings_release(&dotenv);
	settings_release(&env);
	settings_release(&flags);
	return r;
}

void config_release(struct config *cfg)
{
	for (int id = 0; id < CONFIG_COUNT; id++) {
		option_release(&options[id], cfg);
		free(cfg->origin[id]);
	}
	memset(cfg, 0, sizeof(*cfg));
}
