package checks

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDockerfileHasEveryFolder holds the COPY lines of Dockerfile.nix together with what
// its own stage command makes, and with the default of that command.
func TestDockerfileHasEveryFolder(t *testing.T) {
	text := readFile(t, "Dockerfile.nix")
	lines := regexp.MustCompile(`(?m)^COPY --link --from=build /out/([0-9]+)/ /$`).FindAllStringSubmatch(text, -1)
	for i, line := range lines {
		if want := fmt.Sprintf("%02d", i); line[1] != want {
			t.Errorf("COPY line %d is of folder %s, want %s", i+1, line[1], want)
		}
	}
	count := fmt.Sprint(len(lines))
	if !strings.Contains(text, "--layers "+count+" ") {
		t.Errorf("there are %s COPY lines, and its stage command makes another number of folders", count)
	}
	if !regexp.MustCompile(`DefaultFolders = ` + count + `\b`).MatchString(readFile(t, "image/stage/split.go")) {
		t.Errorf("there are %s COPY lines, and the default of stage is another", count)
	}
	if n := strings.Count(text, "\nCOPY "); n != len(lines)+1 { // and the one of the source
		t.Errorf("there are %d COPY lines, of which %d are of folders", n, len(lines))
	}
}

// TestDockerfileSaysWhatImagesSay holds the environment of Dockerfile.nix together with
// what Nix gives every image.
func TestDockerfileSaysWhatImagesSay(t *testing.T) {
	text := readFile(t, "Dockerfile.nix")
	_, env, _ := strings.Cut(text, "\nENV ")
	env, _, _ = strings.Cut(env, "\nEXPOSE ")
	var nix strings.Builder
	files, err := filepath.Glob("../image/*.nix")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		nix.WriteString(readFile(t, strings.TrimPrefix(file, "../")))
	}
	entries := regexp.MustCompile(`(\w+)=("[^"]*")`).FindAllStringSubmatch(env, -1)
	for _, e := range entries {
		if want := e[1] + " = " + e[2] + ";"; !strings.Contains(nix.String(), want) {
			t.Errorf("no file of image/*.nix has %s", want)
		}
	}
	if len(entries) < 5 {
		t.Errorf("only %d variables were found", len(entries))
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
