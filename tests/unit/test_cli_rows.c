#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc.h"
#include "row_key.h"
#include "rows.h"
#include "text.h"

/* Bytes handed out in pieces of at most `step`, then the end, or an error. */
struct text_source {
	const char *text;
	size_t len, at, step;
	int errnum;
};

static ssize_t read_text(void *arg, void *buf, size_t size)
{
	struct text_source *s = arg;
	size_t n = MIN_OF(s->len - s->at, MIN_OF(size, s->step));

	if (!n && s->errnum) {
		errno = s->errnum;
		return -1;
	}
	memcpy(buf, s->text + s->at, n);
	s->at += n;
	return (ssize_t)n;
}

static const struct message_rules rules = {.max_content = 20};
static struct row_options options = {.format = ROW_CSV, .rules = &rules};

/* Reads all and writes what came as lines "LINE phone|content|sendAt|key|metadata", "LINE ! why", and
 * "error: text" at the end. */
static void read_all(struct buf *out, const char *text, size_t len, size_t step)
{
	struct text_source source = {.text = text, .len = len, .step = step};
	struct row_reader reader;
	struct row row;
	struct error err = ERROR_INIT;
	enum row_result result;

	row_reader_init(&reader, &options, read_text, &source);
	while ((result = row_next(&reader, &row, &err)) == ROW_OK || result == ROW_BAD) {
		buf_addf(out, "%llu ", (unsigned long long)row.line);
		if (result == ROW_BAD) {
			buf_addf(out, "! %s\n", row.why);
			continue;
		}
		buf_addf(out, "%.*s|%.*s|%.*s|%.*s|%.*s\n", (int)row.phone.len, row.phone.s,
		         (int)row.content.len, row.content.s, (int)row.send_at.len,
		         row.send_at.s ? row.send_at.s : "", (int)row.key.len, row.key.s ? row.key.s : "",
		         (int)row.metadata.len, row.metadata.s ? row.metadata.s : "");
	}
	if (result == ROW_ERROR)
		buf_addf(out, "error: %s\n", err.text);
	row_reader_release(&reader);
}

static void check(const char *text, const char *want)
{
	static const size_t steps[] = {1, 7, 1 << 20};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct buf out = BUF_INIT;

		read_all(&out, text, strlen(text), steps[i]);
		assert_string_equal(out.data, want);
		buf_release(&out);
	}
}

#define PHONE_WHY "is not an E.164 number: '+', then 2 to 15 digits, the first not 0\n"

static void test_csv(void **state)
{
	(void)state;
	check("phoneNumber,content\n+905551234567,hello\n+4930123,\"two\nlines\"\n+15551234567,x",
	      "2 +905551234567|hello|||\n3 +4930123|two\nlines|||\n5 +15551234567|x|||\n");
	/* byte order mark, CRLF, aliases in any spelling, semicolons, another order, blank lines */
	check("\xef\xbb\xbf" "Text;Phone_Number;SEND-AT;idempotency key;meta\r\n\r\n"
	      "hi;+905551234567;2030-01-01T00:00:00Z;k1;\"{ \"\"b\"\": 1, \"\"a\"\": [2] }\"\r\n",
	      "3 +905551234567|hi|2030-01-01T00:00:00Z|k1|{\"a\":[2],\"b\":1}\n");
	/* empty cells are "not given"; spaces around all but the content are not meant */
	check("to,body,sendAt,key,metadata\n +905551234567 , hi ,,, \n", "2 +905551234567| hi |||\n");
	/* what export writes beside */
	check("id,phoneNumber,content,status,createdAt\n7,+905551234567,hi,sent,2026\n",
	      "2 +905551234567|hi|||\n");
}

static void test_csv_bad_rows(void **state)
{
	(void)state;
	check("phone,text\n"
	      "05551234567,hi\n"
	      ",hi\n"
	      "+905551234567,\n"
	      "+905551234567\n"
	      "+905551234567,hi,there\n"
	      "+905551234567,a\"b\n"
	      "+905551234567,\xff\xfe\n"
	      "+905551234567,123456789012345678901\n"
	      "+905551234567,\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\n"
	      "+905551234567,good\n",
	      "2 ! phoneNumber: \"05551234567\" " PHONE_WHY
	      "3 ! phoneNumber: is missing\n"
	      "4 ! content: is missing\n"
	      "5 ! has 1 column, the header has 2\n"
	      "6 ! has 3 columns, the header has 2\n"
	      "7 ! a quote inside an unquoted field\n"
	      "8 ! content: is not valid UTF-8\n"
	      "9 ! content: has 21 characters, the maximum is 20\n"
	      "10 +905551234567|\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc|||\n"
	      "11 +905551234567|good|||\n");
	check("phone,text,sendAt,key,metadata\n"
	      "+905551234567,a,tomorrow,,\n"
	      "+905551234567,a,,k\xc3\xbc,\n"
	      "+905551234567,a,,,[1]\n"
	      "+905551234567,a,,,\"{\"\"a\"\":1\"\n",
	      "2 ! sendAt: \"tomorrow\" is not an RFC 3339 time, e.g. 2026-01-31T09:00:00Z\n"
	      "3 ! idempotencyKey: must be 1 to 255 visible ASCII characters\n"
	      "4 ! metadata: must be a JSON object\n"
	      "5 ! metadata: must be a JSON object\n");
	/* Escape sequences of a file do not reach the terminal; long values are cut. */
	check("phone,text\n\x1b[2J,a\n1234567890123456789012345678901234567890123,a\n",
	      "2 ! phoneNumber: \"\xef\xbf\xbd[2J\" " PHONE_WHY
	      "3 ! phoneNumber: \"1234567890123456789012345678901234567890...\" " PHONE_WHY);
}

static void test_csv_headers(void **state)
{
	(void)state;
	check("", "error: the file is empty: a header row such as phoneNumber,content is needed\n");
	check("\n\n", "error: the file is empty: a header row such as phoneNumber,content is needed\n");
	check("phone\n", "error: line 1: the header has no column content (or text, message, body, sms)\n");
	check("phone,text,to\n", "error: line 1: two columns mean phoneNumber\n");
	check("ph\"one,text\n",
	      "error: line 1: the header is not CSV: a quote inside an unquoted field\n");
	check("\nphone,text,colour\n",
	      "error: line 2: unknown column \"colour\"; known are phoneNumber, content, sendAt, idempotencyKey, "
	      "metadata (see `herald help import`), and --ignore-columns passes over others\n");
	options.ignore_unknown = true;
	check("phone,text,colour\n+905551234567,hi,red\n", "2 +905551234567|hi|||\n");
	options.ignore_unknown = false;
}

static void test_ndjson(void **state)
{
	(void)state;
	options.format = ROW_NDJSON;
	check("", "");
	check("{\"phoneNumber\":\"+905551234567\",\"content\":\"a\\nb\"}\r\n\n"
	      "  {\"to\":\"+4930123\",\"text\":\"x\",\"send_at\":null,\"key\":\"k\",\"metadata\":{\"b\":1, \"a\":2}}",
	      "1 +905551234567|a\nb|||\n3 +4930123|x||k|{\"a\":2,\"b\":1}\n");
	check("{\"to\":\"+4930123\",\"text\":7}\n"
	      "[]\n"
	      "{\"to\":\"+4930123\"\n"
	      "{\"to\":\"+4930123\",\"text\":\"x\",\"colour\":1}\n"
	      "{\"to\":\"+4930123\",\"phone\":\"+4930123\",\"text\":\"x\"}\n"
	      "{\"to\":\"+4930123\",\"text\":\"x\",\"metadata\":\"{}\"}\n"
	      "{\"to\":\"+4930123\",\"text\":\"x\",\"text\":\"y\"}\n"
	      "{\"id\":1,\"status\":\"sent\",\"to\":\"+4930123\",\"text\":\"x\"}\n",
	      "1 ! content: must be a string\n"
	      "2 ! must be a JSON object\n"
	      "3 ! not JSON: '}' expected near end of file, at character 16\n"
	      "4 ! colour: unknown member (--ignore-columns passes over it)\n"
	      "5 ! phoneNumber: is given twice\n"
	      "6 ! metadata: must be a JSON object\n"
	      "7 ! not JSON: duplicate object key near '\"text\"', at character 34\n"
	      "8 +4930123|x|||\n");
	options.format = ROW_CSV;
}

/* A quote that is never closed, in a file larger than the window, costs one row. */
static void test_window(void **state)
{
	const size_t rows = 300000;
	struct buf text = BUF_INIT;
	struct text_source source;
	struct row_reader reader;
	struct row row;
	struct error err = ERROR_INIT;
	enum row_result result;
	size_t good = 0, bad = 0;

	(void)state;
	buf_addstr(&text, "phone,text\n+4930123,\"open\n");
	for (size_t i = 0; i < rows; i++)
		buf_addstr(&text, "+4930123,hello\n");
	source = (struct text_source){.text = text.data, .len = text.len, .step = 100000};
	row_reader_init(&reader, &options, read_text, &source);
	while ((result = row_next(&reader, &row, &err)) == ROW_OK || result == ROW_BAD) {
		good += result == ROW_OK;
		bad += result == ROW_BAD;
		if (result == ROW_BAD) {
			assert_int_equal(row.line, 2);
			assert_string_equal(row.why, "longer than 4 MiB, or a quote is not closed");
		}
	}
	assert_int_equal(result, ROW_END);
	assert_int_equal(good, rows);
	assert_int_equal(bad, 1);
	assert_int_equal(reader.line, rows + 3);
	assert_true(reader.window.cap <= WINDOW_MAX);
	assert_int_equal(row_reader_position(&reader), text.len);
	row_reader_release(&reader);

	/* The same as one endless line of JSON. */
	buf_clear(&text);
	buf_addstr(&text, "{\"to\":\"+4930123\",\"text\":\"a\"}\n");
	for (size_t i = 0; i < 500000; i++)
		buf_addstr(&text, "0123456789");
	buf_addstr(&text, "\n{\"to\":\"+4930123\",\"text\":\"b\"}\n");
	options.format = ROW_NDJSON;
	source = (struct text_source){.text = text.data, .len = text.len, .step = 1 << 20};
	row_reader_init(&reader, &options, read_text, &source);
	assert_int_equal(row_next(&reader, &row, &err), ROW_OK);
	assert_int_equal(row_next(&reader, &row, &err), ROW_BAD);
	assert_string_equal(row.why, "longer than 4 MiB");
	assert_int_equal(row.line, 2);
	assert_int_equal(row_next(&reader, &row, &err), ROW_OK);
	assert_int_equal(row.line, 3);
	assert_int_equal(row_next(&reader, &row, &err), ROW_END);
	row_reader_release(&reader);
	options.format = ROW_CSV;
	buf_release(&text);
}

/* A row cut off by a read error must not pass for a shorter row. */
static void test_read_error(void **state)
{
	static const char csv[] = "phone,text\n+4930123,one\n+4930123,tw";
	static const char json[] = "{\"to\":\"+4930123\",\"text\":\"a\"}\n{\"to\":\"+4930123\",\"text\":\"b\"}";
	struct error err = ERROR_INIT;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct text_source source = {.text = i ? json : csv, .step = 8, .errnum = EIO};
		struct row_reader reader;
		struct row row;

		source.len = strlen(source.text);
		options.format = i ? ROW_NDJSON : ROW_CSV;
		row_reader_init(&reader, &options, read_text, &source);
		assert_int_equal(row_next(&reader, &row, &err), ROW_OK);
		assert_int_equal(row_next(&reader, &row, &err), ROW_ERROR);
		assert_non_null(strstr(err.text, "reading failed: Input/output error"));
		row_reader_release(&reader);
	}
	options.format = ROW_CSV;
}

/* --- keys ----------------------------------------------------------------------------------------------- */

static struct row_text text_of(const char *s)
{
	return (struct row_text){s, s ? strlen(s) : 0};
}

static const char *key(uint64_t line, const char *phone, const char *content, usec_t send_at,
                       const char *metadata)
{
	static char out[16][ROW_KEY_TAIL + 1];
	static int next;
	struct row row = {.line = line, .phone = text_of(phone), .content = text_of(content),
	                  .send_at_time = send_at, .metadata = text_of(metadata)};

	next = (next + 1) % 16;
	row_key_tail(&row, out[next]);
	return out[next];
}

/* Whoever changes these makes every file imported before import again as new messages. */
static void test_golden_keys(void **state)
{
	(void)state;
	assert_string_equal(key(2, "+905551234567", "hello", 0, NULL), ":0000000002:d619e2dfae6db556");
	assert_string_equal(key(0x123456789a, "+905551234567", "hello", 1893456000000000, "{\"a\":1}"),
	                    ":123456789a:d4c492c0d929fb25");
}

static void test_keys(void **state)
{
	const char *base = key(2, "+905551234567", "hello", 0, NULL);
	struct buf prefix = BUF_INIT;
	char path[600];

	(void)state;
	assert_string_equal(base, key(2, "+905551234567", "hello", 0, NULL));
	assert_string_not_equal(base, key(3, "+905551234567", "hello", 0, NULL));
	assert_string_not_equal(base, key(2, "+905551234568", "hello", 0, NULL));
	assert_string_not_equal(base, key(2, "+905551234567", "hello!", 0, NULL));
	assert_string_not_equal(base, key(2, "+905551234567", "hello", 1, NULL));
	assert_string_not_equal(base, key(2, "+905551234567", "hello", 0, "{}"));
	/* What moves from one part to the next is another row. */
	assert_string_not_equal(base, key(2, "+90555123456", "7hello", 0, NULL));
	/* Keys ascend with lines. */
	assert_true(strcmp(key(255, "+4930123", "x", 0, NULL), key(256, "+4930123", "x", 0, NULL)) < 0);
	assert_true(strcmp(key(999999, "+4930123", "x", 0, NULL), key(1000000, "+4930123", "x", 0, NULL)) < 0);

	row_key_prefix(&prefix, "/tmp/some dir/my file\xc3\xbc.csv");
	assert_string_equal(prefix.data, "my%20file%C3%BC.csv");
	buf_clear(&prefix);
	row_key_prefix(&prefix, "plain.csv");
	assert_string_equal(prefix.data, "plain.csv");
	buf_clear(&prefix);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	row_key_prefix(&prefix, path);
	assert_int_equal(prefix.len + ROW_KEY_TAIL, MESSAGE_KEY_MAX);
	buf_release(&prefix);
}

static void test_columns(void **state)
{
	(void)state;
	assert_int_equal(column_parse("Phone Number", 12), COLUMN_PHONE);
	assert_int_equal(column_parse("MSISDN", 6), COLUMN_PHONE);
	assert_int_equal(column_parse("message", 7), COLUMN_CONTENT);
	assert_int_equal(column_parse("message_id", 10), COLUMN_KNOWN);
	assert_int_equal(column_parse("phones", 6), COLUMN_UNKNOWN);
	assert_int_equal(column_parse("phon", 4), COLUMN_UNKNOWN);
	assert_int_equal(column_parse("", 0), COLUMN_UNKNOWN);
	assert_int_equal(column_parse(" ", 1), COLUMN_UNKNOWN);
	assert_string_equal(column_name(COLUMN_SEND_AT), "sendAt");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_csv),         cmocka_unit_test(test_csv_bad_rows),
		cmocka_unit_test(test_csv_headers), cmocka_unit_test(test_ndjson),
		cmocka_unit_test(test_window),      cmocka_unit_test(test_read_error),
		cmocka_unit_test(test_golden_keys), cmocka_unit_test(test_keys),
		cmocka_unit_test(test_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
