package plan

import (
	"slices"
	"strings"
)

// outputs are what nixpkgs calls those of a package beside "out".
var outputs = []string{
	"bin", "data", "debug", "dev", "devdoc", "dist", "doc", "info", "lib", "man", "out", "private",
	"static", "stubs", "terminfo", "tools",
}

// Package splits the title of a store path into a package's name and version, as
// builtins.parseDrvName does: the version begins behind the first dash that no letter
// follows. The name of an output is in neither, so that all outputs are one package.
func Package(title string) (name, version string) {
	title = withoutOutput(title)
	for i := 0; i+1 < len(title); i++ {
		if c := title[i+1]; title[i] == '-' && !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return withoutOutput(title[:i]), title[i+1:]
		}
	}
	return title, ""
}

func withoutOutput(title string) string {
	if i := strings.LastIndexByte(title, '-'); i > 0 && slices.Contains(outputs, title[i+1:]) {
		return title[:i]
	}
	return title
}
