package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A root is the function of a goroutine of the program.
type panicRoot struct {
	place string // FILE:LINE, from the top of the repository
	file  string
	at    int  // offset behind the deferred recover with which it begins
	last  bool // it begins when the container ends
}

// panicRoots finds the goroutines of a package.
func panicRoots(t *testing.T, dir string) (roots []panicRoot) {
	t.Helper()
	set := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("there is no %s (%v)", dir, err)
	}
	var files []*ast.File
	bodies := map[string]*ast.BlockStmt{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				receiver := ""
				if f.Recv != nil {
					receiver = "."
				}
				bodies[receiver+f.Name.Name] = f.Body // methods that share a name begin alike, see checks
			}
		}
	}
	for _, file := range files {
		function := "" // in which the inspection is
		ast.Inspect(file, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok {
				function = f.Name.Name
			}
			g, ok := n.(*ast.GoStmt)
			if !ok {
				return true
			}
			var body *ast.BlockStmt
			switch f := g.Call.Fun.(type) {
			case *ast.FuncLit:
				body = f.Body
			case *ast.Ident:
				body = bodies[f.Name]
			case *ast.SelectorExpr:
				body = bodies["."+f.Sel.Name]
			}
			if body == nil || len(body.List) == 0 {
				t.Errorf("%s: the goroutine's function was not found", set.Position(g.Pos()))
				return true
			}
			at := set.Position(body.List[0].End())
			roots = append(roots, panicRoot{fmt.Sprintf("%s/%s:%d", dir, filepath.Base(at.Filename), set.Position(g.Pos()).Line), at.Filename, at.Offset, function == "sayEnding"})
			return true
		})
	}
	return roots
}

// buildPanicking builds the program with a panic in each goroutine, behind the
// recover; which one is to go off, a file of the box says by its place. The
// program itself knows nothing of that: go build reads other files in its place.
func buildPanicking(t *testing.T) (program string, roots []panicRoot) {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	put := func(path, text string) {
		path, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[path], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for pkg, name := range map[string]string{"services": "services", "init": "boot"} {
		own := panicRoots(t, pkg)
		roots = append(roots, own...)
		byFile := map[string][]panicRoot{}
		for _, r := range own {
			byFile[r.file] = append(byFile[r.file], r)
		}
		for file, list := range byFile {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(list, func(a, b panicRoot) int { return b.at - a.at }) // from the end, so that offsets hold
			for _, r := range list {
				text = slices.Concat(text[:r.at], fmt.Appendf(nil, "; goOff(%q)", r.place), text[r.at:])
			}
			put(file, string(text))
		}
		put(filepath.Join("..", "..", pkg, "gooff.go"), "package "+name+`
import "os"
func goOff(place string) {
	if b, _ := os.ReadFile("/panic"); string(b) == place {
		f, _ := os.OpenFile("/panicked", os.O_CREATE, 0o644)
		f.Close()
		panic("at " + place)
	}
}
`)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "init")
	build := exec.Command("go", "build", "-overlay", file, "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program that panics: %v\n%s", err, out)
	}
	return program, roots
}

// A panic in any goroutine ends that goroutine and not PID 1, which still reaps,
// and ends in order.
func TestEdge29_Panic(t *testing.T) {
	t.Parallel()
	program, roots := buildPanicking(t)
	if len(roots) < 10 {
		t.Fatalf("only %d goroutines were found", len(roots))
	}
	// What makes use of every part of the program.
	services := definitions{
		"notify": perl(`tell_init("READY=1"); nap(600)`, "Type", "notify"),
		"fd":     {"ExecStart": []string{"sh", "-c", "echo >&3; exec sleep 600"}, "NotificationFd": 3},
		"line":   {"ExecStart": []string{"sh", "-c", "echo listens; exec sleep 600"}, "ReadyLine": "listens"},
		"exec":   {"ExecStart": []string{"sleep", "600"}, "Type": "exec", "UMask": "0022"},
		"probe": {"ExecStart": []string{"sleep", "600"}, "Probe": map[string]any{"Exec": []string{"true"}},
			"Liveness": map[string]any{"Exec": []string{"true"}, "PeriodSec": "20ms"}},
		"asked": {"ExecStart": []string{"sleep", "600"}, "Tailnet": "transparent"},
		// As a service, the client waits beside the others for who takes its filter.
		"filtered": {"ExecStart": []string{"/panicking", "run", "--", "sleep", "600"}},
		"file":     {"ExecStart": []string{"sh", "-c", "echo text; exec sleep 600"}, "LogLocation": "/var/log/edge.log"},
	}
	for n := range 40 { // more than one goroutine reads
		services[fmt.Sprintf("more-%d", n)] = map[string]any{"ExecStart": []string{"true"}, "Disabled": true}
	}
	for _, r := range roots {
		t.Run(strings.ReplaceAll(r.place, "/", "-"), func(t *testing.T) {
			t.Parallel()
			place := filepath.Join(t.TempDir(), "place")
			if err := os.WriteFile(place, []byte(r.place), 0o644); err != nil {
				t.Fatal(err)
			}
			b := startOddBox(t, services, "-e", "TS_HOSTNAME=box", "-put", "/panic="+place, "-put", "/panicking="+program, "-exec", "/panicking")
			if r.last {
				b.booted()
			}
			b.until("it panics", func() bool {
				_, _ = b.ask("/v1/status") // some parts run only where somebody asks
				_, err := os.Stat(b.root("/panicked"))
				return err == nil || r.last
			})
			// It reaps. The status would not tell: the part that answers may be off.
			b.must("sh", "-c", "for n in 1 2 3 4 5; do (sleep 0.01 &); done")
			b.until("no zombie is left", func() bool {
				for _, state := range b.children() {
					if state == "Z" {
						return false
					}
				}
				return true
			})
			b.send(15)
			if code := b.code(); code != 0 && code != 143 { // what the runtime ends has 2
				t.Errorf("exit code %d:\n%s", code, b)
			}
			if _, err := os.Stat(filepath.Join(b.dir, "upper", "panicked")); err != nil {
				t.Errorf("it has not panicked: %v\n%s", err, b)
			}
		})
	}
}
