/*
 * Loads libraries by name as CUDA programs do, and prints one line for each:
 * where it was found, and what the driver in it answers. A name that has a comma
 * is "LIBRARY,NESTED": LIBRARY is loaded, and loads NESTED itself.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		char *nested = strchr(argv[i], ',');
		struct link_map *map;
		void *library;

		if (nested)
			*nested++ = '\0';
		library = dlopen(argv[i], RTLD_NOW);
		if (!library) {
			printf("%s\n", dlerror());
			failed = 1;
			continue;
		}
		dlinfo(library, RTLD_DI_LINKMAP, &map);
		printf("%s is %s", argv[i], map->l_name);

		int (*version)(int *) = (int (*)(int *))dlsym(library, "cuDriverGetVersion");
		if (version) {
			int number = 0, result = version(&number);
			printf(", cuDriverGetVersion %d %d", result, number);
		}
		int (*init)(void) = (int (*)(void))dlsym(library, "nvmlInit_v2");
		if (init)
			printf(", nvmlInit %d", init());
		const char *(*load)(const char *) = (const char *(*)(const char *))dlsym(library, "load");
		if (nested && load)
			printf(", %s: %s", nested, load(nested));
		printf("\n");
	}
	return failed;
}
