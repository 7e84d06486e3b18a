#include <string.h>

#include "attr.h"
#include "cmd.h"

const struct command commands[] = {
#define COMMAND(name, kind, run, arguments, min, max, summary, help, ...)                          \
	{name, kind, run, arguments, min, max, summary, help, {__VA_ARGS__ __VA_OPT__(, ) {NULL}}},
#include "commands.def"
#undef COMMAND
};

const size_t commands_n = ARRAY_SIZE(commands);

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < commands_n; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}
