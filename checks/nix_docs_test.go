package checks

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const optionsPage = "dev/docs/options.html"

// documented are the options of the page, and the file that it names for each.
func documented(t *testing.T) map[string]string {
	t.Helper()
	list := map[string]string{}
	for _, section := range strings.Split(readFile(t, optionsPage), "<section id=\"")[1:] {
		name, _, _ := strings.Cut(section, "\"")
		for _, part := range []string{"<dt>type</dt>", "<dt>example</dt>", "<dt>in</dt>", "\n<p>"} {
			if !strings.Contains(section, part) {
				t.Errorf("%s: %s has no %s", optionsPage, name, part)
			}
		}
		_, file, _ := strings.Cut(section, "<dt>in</dt><dd>")
		list[strings.NewReplacer("&lt;", "<", "&gt;", ">").Replace(name)], _, _ = strings.Cut(file, "<")
	}
	return list
}

// TestOptionsAreDocumented compares the page of options with config/*.nix as they read: each option of a
// file is on the page, and each of the page is in its file. That its words are current, tells dev/nix-eval.sh.
func TestOptionsAreDocumented(t *testing.T) {
	page := documented(t)
	if len(page) < 150 {
		t.Errorf("%s has %d options", optionsPage, len(page))
	}
	files, err := filepath.Glob("../config/*.nix")
	if err != nil {
		t.Fatal(err)
	}
	one := regexp.MustCompile(`(?m)^  options\.([\w.]+) = lib\.mkOption`)
	many := regexp.MustCompile(`(?ms)^  options\.(\w+) = \{\n(.*?)^  \};`)
	member := regexp.MustCompile(`(?m)^    (\w+) = `)
	for _, file := range files {
		text := readFile(t, strings.TrimPrefix(file, "../"))
		var names []string
		for _, m := range one.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		for _, m := range many.FindAllStringSubmatch(text, -1) {
			for _, inside := range member.FindAllStringSubmatch(m[2], -1) {
				names = append(names, m[1]+"."+inside[1])
			}
		}
		for _, name := range names {
			if page[name] != strings.TrimPrefix(file, "../") {
				t.Errorf("%s has the option %s, of which %s says that it is in %q: dev/nix-eval.sh --update", file, name, optionsPage, page[name])
			}
		}
	}
	for name, file := range page {
		last := name[strings.LastIndex(name, ".")+1:]
		if strings.Contains(name, "services.") && strings.HasPrefix(file, "config/") {
			continue // that file imports those of services
		}
		if !strings.HasPrefix(last, "<") && !strings.Contains(readFile(t, file), last) {
			t.Errorf("%s has the option %s, and %s does not", optionsPage, name, file)
		}
	}
}

// The page's own script finds what is searched for, and shows first what has it in its name.
func TestSearchOfOptions(t *testing.T) {
	const browser = `
const fs = require("fs");
const page = fs.readFileSync(process.argv[1], "utf8");
const order = [];
const sections = page.split("<section id=\"").slice(1).map((text) => ({
  id: text.split("\"")[0], textContent: text.replace(/<[^>]*>/g, " "), hidden: false, scrollIntoView() {},
  parentNode: { append(section) { order.push(section.id); } } }));
const field = { value: "", addEventListener(_, f) { this.search = f; } }, count = {};
global.document = { querySelector: (what) => what === "input" ? field : count, querySelectorAll: () => sections,
  getElementById: (id) => sections.find((s) => s.id === id) };
global.location = { search: process.argv[2], hash: "", pathname: "/" };
global.history = { replaceState() {} };
eval(page.split("<script>")[1].split("</script>")[0]);
console.log(count.textContent, ...order.filter((id) => !sections.find((s) => s.id === id).hidden).slice(0, 3));`
	for search, want := range map[string]string{
		"?cuda%20toolkit": "cuda.toolkit",
		"?PORT%20ssh":     "ssh.port",
		"?no-such-word":   "0 of",
		"?tailnet%20tags": "tailscale.tags",
		"":                "options",
	} {
		cmd := exec.Command("node", "-e", browser, "--", filepath.Join("..", optionsPage), search)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("node: %v\n%s", err, out)
		}
		words := strings.Fields(string(out))
		if !strings.Contains(string(out), want) || strings.Contains(want, ".") && (len(words) < 4 || words[3] != want) {
			t.Errorf("a search for %q finds %s, not first %s", search, out, want)
		}
	}
	if script := readFile(t, "dev/docs/page.js"); !slices.Contains(strings.SplitAfter(readFile(t, optionsPage), "<script>\n"), script+"</script>\n</body>\n</html>\n") {
		t.Errorf("%s has another script than dev/docs/page.js", optionsPage)
	}
}
