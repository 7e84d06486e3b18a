/* The store's contract, over the driver of the URL given: store_contract URL [GROUP]. In it, %s stands for a
 * directory that is made for each test; $NAME stands for the URL in that environment variable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

int main(int argc, char **argv)
{
	const char *only = argc == 3 ? argv[2] : NULL;
	int failed = 0;

	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: store_contract URL [GROUP]\n");
		return 2;
	}
	contract_url = argv[1][0] == '$' ? getenv(argv[1] + 1) : argv[1];
	if (!contract_url) {
		fprintf(stderr, "%s is not set\n", argv[1] + 1);
		return 2;
	}
#define RUN(name)                                                                                  \
	if (!only || !strcmp(only, #name))                                                         \
	failed += _cmocka_run_group_tests(#name, name##_tests, name##_count, NULL, NULL)
	RUN(insert);
	RUN(claim);
	RUN(settle);
	RUN(runs);
	RUN(recover);
	RUN(list);
	RUN(steer);
	RUN(nodes);
	RUN(records);
	RUN(threads);
	RUN(durable);
	RUN(model);
	return failed ? 1 : 0;
}
