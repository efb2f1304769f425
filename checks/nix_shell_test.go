package checks

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// TestShellOfNix has shellcheck look at what a shell reads of flake.nix's modules, of examples and templates,
// and of Dockerfile.nix. What services come to has a test of its own, and scripts are a matter of `make lint`.
func TestShellOfNix(t *testing.T) {
	lines := map[string]string{}
	const builder = "# shellcheck disable=SC2154 # Nix sets variables of a builder\n"
	for path, words := range map[string][]string{
		"modules/programs.nix":    {"buildPhase = ", "installPhase = "},
		"modules/verbs.nix":       {`"-euc" `, "text = "},
		"services/compliance.nix": {`"nix2vast-compliance-services" { } `, "util-linux ]; } "},
		"config/hooks.nix":        {"example = "},
	} {
		text := readFile(t, path)
		for _, word := range words {
			_, rest, found := strings.Cut(text, word)
			if !found {
				t.Errorf("%s has no %q", path, word)
			}
			line := strings.TrimSpace(nixString(rest))
			if !strings.HasPrefix(line, "#!") {
				line = builder + line
			}
			lines[path+" "+word] = line
		}
	}
	keys := regexp.MustCompile(`(?:command|hooks\.\w+|shell\.init) = `)
	for _, path := range tracked(t, "flake.nix") {
		text := readFile(t, path)
		for _, at := range keys.FindAllStringIndex(text, -1) {
			lines[path+" "+text[at[0]:at[1]]+strings.Repeat("'", len(lines))] = nixString(text[at[1]:])
		}
	}
	for _, run := range dockerfile(t) {
		if run[0] == "RUN" {
			lines["Dockerfile.nix"] = run[1]
		}
	}
	if len(lines) < 15 {
		t.Errorf("only %d texts were found", len(lines))
	}
	for where, text := range lines {
		if strings.TrimSpace(strings.TrimPrefix(text, builder)) == "" {
			t.Errorf("%s: nothing was found", where)
		}
	}
	shellcheck(t, lines)
}

// nixString is the string that a text begins with, with a path for each thing that Nix puts in.
func nixString(text string) string {
	quote := `"`
	if strings.HasPrefix(text, "''") {
		quote = "''"
	}
	m := &nixMask{text: text, out: []byte(text)}
	m.str(quote)
	if m.at > len(text) || m.at < 2*len(quote) {
		return ""
	}
	inside := text[len(quote) : m.at-len(quote)]
	inside = regexp.MustCompile(`(^|[^'\\$])\$\{[^}]*\}`).ReplaceAllString(inside, "${1}/nix/store/x")
	return strings.NewReplacer("''$", "$", `\"`, `"`, `\$`, "$", `\n`, "\n").Replace(inside)
}

// dockerfile is Dockerfile.nix as instructions and their arguments.
func dockerfile(t *testing.T) (list [][2]string) {
	t.Helper()
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(readFile(t, "Dockerfile.nix"), "")
	for _, line := range strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		if word, rest, _ := strings.Cut(line, " "); word != "" {
			list = append(list, [2]string{word, strings.TrimSpace(rest)})
		}
	}
	return list
}

// TestDockerfileLint looks for what linters of Dockerfiles find, and for what an image's defaults say elsewhere.
func TestDockerfileLint(t *testing.T) {
	count := map[string]int{}
	for _, line := range dockerfile(t) {
		word, rest := line[0], line[1]
		count[word]++
		var argv []string
		switch word {
		case "FROM":
			if strings.Contains(rest, ":latest") || !strings.Contains(rest, "scratch") && !strings.HasSuffix(rest, " AS build") {
				t.Errorf("FROM %s: a base has a version, and a stage a name", rest)
			}
		case "ARG":
			if name, value, _ := strings.Cut(rest, "="); name != strings.ToUpper(name) || value == "" || strings.HasSuffix(value, ":latest") {
				t.Errorf("ARG %s: an argument has a name in capitals and a default that is no moving tag", rest)
			}
		case "WORKDIR":
			if !strings.HasPrefix(rest, "/") {
				t.Errorf("WORKDIR %s is relative", rest)
			}
		case "ENTRYPOINT":
			if err := json.Unmarshal([]byte(rest), &argv); err != nil || len(argv) != 1 || argv[0] != "/init" {
				t.Errorf("ENTRYPOINT %s: it is no list of words, %v", rest, err)
			}
		case "HEALTHCHECK":
			_, command, _ := strings.Cut(rest, "CMD ")
			if err := json.Unmarshal([]byte(command), &argv); err != nil {
				t.Errorf("HEALTHCHECK %s: %v", rest, err)
			}
			defaults := readFile(t, "image/healthcheck.nix")
			for flag, option := range map[string]string{"--interval=": "interval ? ", "--timeout=": "timeout ? ", "--start-period=": "startPeriod ? "} {
				seconds := regexp.MustCompile(regexp.QuoteMeta(flag) + `(\d+)s `).FindStringSubmatch(rest)
				if seconds == nil || !strings.Contains(defaults, option+seconds[1]+",") && !strings.Contains(defaults, option+seconds[1]+" ") {
					t.Errorf("HEALTHCHECK %s: the images' own %s is another", rest, option)
				}
			}
			if len(argv) > 0 && !strings.Contains(defaults, `[ "`+strings.Join(argv, `" "`)+`" ]`) {
				t.Errorf("HEALTHCHECK runs %q, and the images' own something else", argv)
			}
		case "COPY", "ENV", "RUN", "EXPOSE", "STOPSIGNAL":
		default:
			t.Errorf("%s is no instruction that is expected", word)
		}
	}
	for word, n := range map[string]int{"FROM": 2, "RUN": 1, "ENTRYPOINT": 1, "HEALTHCHECK": 1, "EXPOSE": 1, "STOPSIGNAL": 1} {
		if count[word] != n {
			t.Errorf("there are %d lines of %s, not %d", count[word], word, n)
		}
	}
}
