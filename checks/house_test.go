// Package checks holds the rules of the house as tests, and the end-to-end tests
// that need a container engine.
package checks

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fleek-platform/nix2vast"

// arrows is what each package may import of ours.
var arrows = map[string][]string{
	"cmd/init":                          {"init", "init/tailnet/wire"},
	"cmd/exporter":                      {},
	"cmd/tailnet":                       {"init/tailnet"},
	"init/tailnet":                      {"init/tailnet/wire", "init/tailnet/transparent"},
	"init/tailnet/wire":                 {},
	"init/tailnet/tailtest":             {},
	"init":                              {"gpu", "services", "services/unitfile", "services/compose", "services/modular", "image", "services/intercept", "init/tailnet/wire"},
	"gpu":                               {},
	"services":                          {"services/intercept"},
	"services/unitfile":                 {"services"},
	"services/compose":                  {"services", "services/internal/tree"},
	"services/modular":                  {"services", "services/internal/tree", "services/unitfile"},
	"services/internal/tree":            {"services"},
	"image":                             {},
	"cmd/nix2vast":                      {"image/plan", "image/layer", "image/oci", "image/rootfs", "image/registry", "image/engine", "image/stage"},
	"image/plan":                        {},
	"image/nar":                         {},
	"image/layer":                       {"image/plan", "image/nar"},
	"image/oci":                         {"image/plan", "image/layer"},
	"image/rootfs":                      {"image"},
	"image/registry":                    {"image/plan", "image/layer", "image/oci"},
	"image/stage":                       {"image/plan", "image/layer"},
	"image/engine":                      {"image/plan", "image/layer", "image/oci", "image/registry"},
	"checks":                            {},
	"services/intercept":                {},
	"init/tailnet/transparent":          {"services/intercept"},
	"init/tailnet/transparent/testdata": {}, // a program of another architecture
	"dev/attach":                        {},
}

// testArrows is what the tests of a package may import besides.
var testArrows = map[string][]string{
	"cmd/exporter": {"init", "services", "gpu"}, // it reads what they write
	"image/engine": {"image/nar"},               // its plans are true
	"cmd/tailnet":  {"init/tailnet/tailtest", "init/tailnet/wire"},
	"init/tailnet": {"init/tailnet/tailtest", "services/intercept"},   // programs that it answers for
	"cmd/init":     {"init/tailnet/transparent", "init/tailnet/wire"}, // what stands for the tailnet
	"checks":       {"init/tailnet/tailtest"},
}

// source is one Go file of the repository.
type source struct {
	path string // relative to the root, with slashes
	text string
	file *ast.File
	set  *token.FileSet
}

func (s source) dir() string           { return filepath.Dir(s.path) }
func (s source) test() bool            { return strings.HasSuffix(s.path, "_test.go") || helper(s.dir()) }
func (s source) lines() int            { return strings.Count(s.text, "\n") }
func (s source) at(p token.Pos) string { return fmt.Sprintf("%s:%d", s.path, s.set.Position(p).Line) }

// helper says whether a package is a part of the tests of others.
func helper(dir string) bool { return dir == "init/tailnet/tailtest" }

func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	for _, path := range tracked(t, ".go") {
		text, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, source{path, string(text), file, set})
	}
	if len(list) < 20 {
		t.Fatalf("only %d Go files were found", len(list))
	}
	return list
}

// TestPins keeps what cannot be taken from a newer version: Tailscale 1.104 needs Go 1.27,
// and a gVisor whose source no module proxy serves. The two belong together.
func TestPins(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, pin := range []string{"\ttailscale.com v1.102.5\n", "\tgvisor.dev/gvisor v0.0.0-20260224225140-573d5e7127a8 "} {
		if !strings.Contains(string(text), pin) {
			t.Errorf("go.mod does not have %s", strings.TrimSpace(pin))
		}
	}
}

// tracked lists the files of the repository with an ending, build/ left out.
func tracked(t *testing.T, ending string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel("..", path) // both are relative to here
		if d.IsDir() && (rel == "build" || rel == ".git" || ending == ".go" && foreign(path)) {
			return fs.SkipDir
		}
		if d.Type().IsRegular() && strings.HasSuffix(rel, ending) {
			list = append(list, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// foreign says whether a directory is a module of its own: what the benchmark
// compares with follows no rule of ours.
func foreign(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil && dir != ".."
}

func TestArrows(t *testing.T) {
	for _, s := range sources(t) {
		allowed, known := arrows[s.dir()]
		if !known {
			t.Errorf("%s: package %s is not in the list of arrows", s.path, s.dir())
			continue
		}
		if s.test() {
			allowed = slices.Concat(allowed, testArrows[s.dir()])
		}
		for _, spec := range s.file.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			if own, ok := strings.CutPrefix(path, module+"/"); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s: %s must not import %s", s.at(spec.Pos()), s.dir(), own)
			}
		}
	}
}

// TestKept names what only one place may do, and why.
func TestKept(t *testing.T) {
	for _, rule := range []struct {
		pattern string
		only    func(s source) bool
		why     string
	}{
		{`\bos\.(Getenv|LookupEnv|Environ|ExpandEnv|Setenv|Unsetenv|Clearenv)\b`, func(s source) bool {
			return s.path == "init/settings.go" || s.path == "cmd/nix2vast/settings.go"
		}, "only init/settings.go and cmd/nix2vast/settings.go read the environment"},
		{`\b(os/exec"|syscall\.(ForkExec|StartProcess|Exec)\b|os\.StartProcess\b)`, func(s source) bool {
			return s.dir() == "services" || s.dir() == "image/engine"
		}, "only package services starts processes in a box, and image/engine on its author's machine"},
		{`\bWait4\b`, func(s source) bool { return s.path == "services/reaper.go" },
			"there is one reaper"},
		{`\bLockOSThread\(`, func(s source) bool {
			return s.path == "cmd/init/main.go" || s.path == "services/threads.go" ||
				s.path == "services/intercept/intercept.go" || s.path == "services/intercept/memory.go" // they start no process
		},
			"a child of a locked goroutine that ends is lost to the reaper"},
		{`\btime\.Sleep\(`, func(source) bool { return false },
			"a sleep is no synchronisation"},
		{`\bzap\.(L|S|ReplaceGlobals)\(`, func(source) bool { return false },
			"the logger is a parameter"},
	} {
		re := regexp.MustCompile(rule.pattern)
		for _, s := range sources(t) {
			if s.test() || rule.only(s) {
				continue
			}
			if loc := re.FindStringIndex(s.text); loc != nil {
				t.Errorf("%s:%d: %s", s.path, 1+strings.Count(s.text[:loc[0]], "\n"), rule.why)
			}
		}
	}
}

func TestTestsNeitherSkipNorSleep(t *testing.T) {
	re := regexp.MustCompile(`\b[tb]\.Skip|\btime\.` + `Sleep\(`)
	for _, s := range sources(t) {
		if loc := re.FindStringIndex(s.text); s.test() && s.path != "checks/house_test.go" && loc != nil {
			t.Errorf("%s:%d: a test neither skips nor sleeps", s.path, 1+strings.Count(s.text[:loc[0]], "\n"))
		}
	}
}

func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines() > 400 {
			t.Errorf("%s has %d lines, 400 are enough", s.path, s.lines())
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || s.test() {
				continue
			}
			if n := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1; n > 60 {
				t.Errorf("%s: %s has %d lines, 60 are enough", s.at(f.Pos()), f.Name.Name, n)
			}
		}
	}
}

// child says whether a package is a program that init supervises: a panic ends it, and init
// starts it again.
func child(dir string) bool { return dir == "cmd/tailnet" || dir == "init/tailnet" }

// author says whether a package is part of the program on the author's machine, and of
// no program in a box.
func author(dir string) bool { return dir == "cmd/nix2vast" || strings.HasPrefix(dir, "image/") }

// TestGoroutinesRecover wants a deferred recover as the first statement of each goroutine:
// a panic in any of them would end PID 1.
func TestGoroutinesRecover(t *testing.T) {
	list := sources(t)
	bodies := map[string][]*ast.BlockStmt{} // by package and name, which methods may share
	for _, s := range list {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && !s.test() {
				name := s.dir() + "." + f.Name.Name
				bodies[name] = append(bodies[name], f.Body)
			}
		}
	}
	for _, s := range list {
		if s.test() || author(s.dir()) || child(s.dir()) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			g, ok := n.(*ast.GoStmt)
			if !ok {
				return true
			}
			var candidates []*ast.BlockStmt
			switch f := g.Call.Fun.(type) {
			case *ast.FuncLit:
				candidates = append(candidates, f.Body)
			case *ast.Ident:
				candidates = bodies[s.dir()+"."+f.Name]
			case *ast.SelectorExpr:
				candidates = bodies[s.dir()+"."+f.Sel.Name]
			}
			if len(candidates) == 0 {
				t.Errorf("%s: the goroutine's function was not found", s.at(g.Pos()))
			}
			for _, body := range candidates {
				if len(body.List) == 0 {
					continue
				}
				if first, ok := body.List[0].(*ast.DeferStmt); !ok || !recovers(first) {
					t.Errorf("%s: the goroutine does not begin with a deferred recover", s.at(g.Pos()))
				}
			}
			return true
		})
	}
}

// recovers says whether a deferred call recovers: itself, or by one of the
// functions that are named for it.
func recovers(d *ast.DeferStmt) bool {
	found := false
	ast.Inspect(d, func(n ast.Node) bool {
		if name, ok := n.(*ast.Ident); ok && strings.HasPrefix(name.Name, "recover") {
			found = true
		}
		return !found
	})
	return found
}

func TestPackageComments(t *testing.T) {
	comments, packages := map[string]int{}, map[string]bool{}
	for _, s := range sources(t) {
		if s.test() && s.dir() != "checks" && !helper(s.dir()) {
			continue
		}
		packages[s.dir()] = true
		if s.file.Doc != nil {
			comments[s.dir()]++
		}
	}
	for dir := range packages {
		if comments[dir] != 1 {
			t.Errorf("package %s has %d package comments, one tells its story", dir, comments[dir])
		}
	}
}

func TestFormat(t *testing.T) {
	out, err := exec.Command("gofmt", "-l", "..").Output()
	var dirty []string
	for file := range strings.Lines(string(out)) {
		if !strings.HasPrefix(file, "../build/") {
			dirty = append(dirty, strings.TrimSpace(file))
		}
	}
	if err != nil || len(dirty) > 0 {
		t.Errorf("gofmt would change %v (%v)", dirty, err)
	}
}

// TestNothingLeftBehind looks for what a reader should not find.
func TestNothingLeftBehind(t *testing.T) {
	re := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b|not implemented|(deb|ftp|security)\.debian\.org|proxy\.golang\.org`)
	for _, path := range tracked(t, "") {
		b, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			t.Fatal(err)
		}
		if loc := re.FindIndex(b); loc != nil && path != "checks/house_test.go" {
			t.Errorf("%s:%d: %q", path, 1+strings.Count(string(b[:loc[0]]), "\n"), b[loc[0]:loc[1]])
		}
	}
}
