package plan

import (
	"errors"
	"strings"
	"testing"
)

// sub is the object below keys of a decoded JSON, or the element of a list.
func sub(v any, keys ...any) map[string]any {
	for _, key := range keys {
		switch k := key.(type) {
		case string:
			v = v.(map[string]any)[k]
		case int:
			v = v.([]any)[k]
		}
	}
	return v.(map[string]any)
}

// TestValidate changes one place of a good plan at a time; the one problem must be told
// by name and value, and no other beside it.
func TestValidate(t *testing.T) {
	const bash = "/nix/store/2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b-bash-5.2.15"
	for want, edit := range map[string]func(m map[string]any){
		`name: "Sample" is not`: func(m map[string]any) { m["name"] = "Sample" },
		`name: "" is not`:       func(m map[string]any) { m["name"] = "" },
		`name: "a--b" is not`:   func(m map[string]any) { m["name"] = "a--b" },
		`tag: ".x" is not`:      func(m map[string]any) { m["tag"] = ".x" },
		`tag: "" is not`:        func(m map[string]any) { m["tag"] = "" },
		`tag: "a b" is not`:     func(m map[string]any) { m["tags"] = []any{"a b"} },
		`leave out "https://" and write "ghcr.io/owner"`:                        func(m map[string]any) { m["registries"] = []any{"https://ghcr.io/owner"} },
		`ends in the image's name, which is added to it; write "ghcr.io/owner"`: func(m map[string]any) { m["registries"] = []any{"ghcr.io/owner/sample"} },
		`"owner" names no host`:               func(m map[string]any) { m["registries"] = []any{"owner"} },
		`"" names no host`:                    func(m map[string]any) { m["registries"] = []any{""} },
		`"ghcr.io/OWNER" is no HOST`:          func(m map[string]any) { m["registries"] = []any{"ghcr.io/OWNER"} },
		`"ghcr.io/a:tag" is no HOST`:          func(m map[string]any) { m["registries"] = []any{"ghcr.io/a:tag"} },
		`architecture: "x86_64" is neither`:   func(m map[string]any) { m["architecture"] = "x86_64" },
		`created: "yesterday" is no time`:     func(m map[string]any) { m["created"] = "yesterday" },
		`annotations: one has no name`:        func(m map[string]any) { sub(m, "annotations")[""] = "x" },
		`layers: max is -1`:                   func(m map[string]any) { sub(m, "layers")["max"] = -1 },
		`config: the port "ssh" is none such`: func(m map[string]any) { sub(m, "config", "ExposedPorts")["ssh"] = map[string]any{} },
		`config: the port "0/tcp" is not in`:  func(m map[string]any) { sub(m, "config", "ExposedPorts")["0/tcp"] = map[string]any{} },
		`the environment's "PATH" is no`:      func(m map[string]any) { sub(m, "config")["Env"] = []any{"PATH"} },
		`the environment's "=x" is no`:        func(m map[string]any) { sub(m, "config")["Env"] = []any{"=x"} },
		`the environment sets A twice`:        func(m map[string]any) { sub(m, "config")["Env"] = []any{"A=1", "A=2"} },
		`the working directory "root" is no`:  func(m map[string]any) { sub(m, "config")["WorkingDir"] = "root" },
		`the entry point "init" is no`:        func(m map[string]any) { sub(m, "config")["Entrypoint"] = []any{"init"} },
		`the volume "data" is no`:             func(m map[string]any) { sub(m, "config")["Volumes"] = map[string]any{"data": map[string]any{}} },
		`the stop signal "term" is none`:      func(m map[string]any) { sub(m, "config")["StopSignal"] = "term" },
		`the health check begins with "/bin"`: func(m map[string]any) { sub(m, "config")["Healthcheck"] = map[string]any{"Test": []any{"/bin"}} },
		`config: a label has no name`:         func(m map[string]any) { sub(m, "config", "Labels")[""] = "x" },
		`the mode of "/tmp" is "1888"`:        func(m map[string]any) { sub(m, "rootfs", "modes")["/tmp"] = "1888" },
		`modes: "tmp" is no clean`:            func(m map[string]any) { sub(m, "rootfs", "modes")["tmp"] = "0755" },
		`modes: "/tmp/" is no clean`:          func(m map[string]any) { sub(m, "rootfs", "modes")["/tmp/"] = "0755" },
		`the owner of "/tmp" is "root"`:       func(m map[string]any) { sub(m, "rootfs")["owners"] = map[string]any{"/tmp": "root"} },
		`owners: "tmp" is no clean`:           func(m map[string]any) { sub(m, "rootfs")["owners"] = map[string]any{"tmp": "1:2"} },
		`rootfs: there is none`:               func(m map[string]any) { delete(m, "rootfs") },
		`rootfs: "/tmp/x" is no path of`:      func(m map[string]any) { sub(m, "rootfs")["path"] = "/tmp/x" },
		`which the closure lacks`: func(m map[string]any) {
			sub(m, "rootfs")["references"] = []any{bash, "/nix/store/9b9b9b9b9b9b9b9b9b9b9b9b9b9b9b9b-gone"}
		},
		`closure: ` + bash + ` is there twice`: func(m map[string]any) {
			sub(m, "closure", 0)["path"] = bash
			sub(m, "closure", 1)["references"] = nil
			sub(m, "closure", 2)["references"] = nil
		},
		`closure: "/nix/store/short-x" is no`: func(m map[string]any) {
			m["closure"] = append(m["closure"].([]any), map[string]any{"path": "/nix/store/short-x"})
		},
		`closure: "/nix/store/../etc" is no`: func(m map[string]any) {
			m["closure"] = append(m["closure"].([]any), map[string]any{"path": "/nix/store/../etc"})
		},
		`narHash "sha256:x" is not`:           func(m map[string]any) { sub(m, "closure", 0)["narHash"] = "sha256:x" },
		`the narSize 0 is no size`:            func(m map[string]any) { sub(m, "files", 0)["narSize"] = 0 },
		`groups: the root "/x" of cuda`:       func(m map[string]any) { sub(m, "groups", 0)["roots"] = []any{"/x"} },
		`groups: the name "cuda" is empty or`: func(m map[string]any) { m["groups"] = append(m["groups"].([]any), sub(m, "groups", 0)) },
		`the target "init" is no clean`:       func(m map[string]any) { sub(m, "files", 0)["target"] = "init" },
		`the target "/" is no clean`:          func(m map[string]any) { sub(m, "files", 0)["target"] = "/" },
		`the target "/nix/store/x" is in`:     func(m map[string]any) { sub(m, "files", 0)["target"] = "/nix/store/x" },
		`the mode of "/init" is "rwx"`:        func(m map[string]any) { sub(m, "files", 0)["mode"] = "rwx" },
		`two have the target "/init"`:         func(m map[string]any) { m["files"] = append(m["files"].([]any), sub(m, "files", 0)) },
		`"/init/x" is below "/init"`: func(m map[string]any) {
			other := map[string]any{}
			for k, v := range sub(m, "files", 0) {
				other[k] = v
			}
			other["target"] = "/init/x"
			m["files"] = append(m["files"].([]any), other)
		},
		`unknown field "colour"`:                         func(m map[string]any) { m["colour"] = "red" },
		`its version is 2, this program reads version 1`: func(m map[string]any) { m["version"], m["colour"] = 2, "red" },
		`its version is 0, this program`:                 func(m map[string]any) { delete(m, "version") },
	} {
		_, err := Parse(change(t, "plan.json", edit))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of a plan with %q: %v", want, err)
		}
		var list Problems
		if errors.As(err, &list) && len(list) != 1 {
			t.Errorf("of a plan with %q there are %d problems: %v", want, len(list), err)
		}
	}
	if _, err := Parse(append(read(t, "plan.json"), "{}"...)); err == nil || !strings.Contains(err.Error(), "behind") {
		t.Errorf("of a plan with more behind it: %v", err)
	}
}

// TestBuildTellsAllAtOnce puts many things wrong; every one must be told.
func TestBuildTellsAllAtOnce(t *testing.T) {
	attrs := change(t, "attrs.json", func(m map[string]any) {
		image := sub(m, "image")
		image["name"], image["tag"], image["modes"] = "Sample", "a b", "/nix/store/modes.json"
		sub(m, "image", "files", 0)["path"] = "/nix/store/9b9b9b9b9b9b9b9b9b9b9b9b9b9b9b9b-init"
		sub(m, "image", "groups", 0)["roots"] = []any{"/nix/store/9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c-cuda"}
		sub(m, "graph", 1)["references"] = []any{"/nix/store/9d9d9d9d9d9d9d9d9d9d9d9d9d9d9d9d-gone"}
		sub(m, "graph", 0)["narHash"] = "sha256:zzz"
	})
	_, _, err := Build(attrs, noFile)
	var list Problems
	if !errors.As(err, &list) {
		t.Fatal(err)
	}
	for _, want := range []string{
		"name: ", "tag: ", "modes: file does not exist",
		"files: the graph lacks /nix/store/9b9b9b9b9b9b9b9b9b9b9b9b9b9b9b9b-init; add it to exportReferencesGraph",
		"groups: the root of cuda: the graph lacks /nix/store/9c",
		"/nix/store/2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b-bash-5.2.15: the graph lacks /nix/store/9d",
		`the narHash "sha256:zzz"`,
	} {
		if n := strings.Count(list.Error(), want); n != 1 {
			t.Errorf("%q is told %d times", want, n)
		}
	}
	if len(list) != 7 {
		t.Errorf("there are %d problems, want 7: %v", len(list), err)
	}
}

func TestBuildRefusesWhatItDoesNotKnow(t *testing.T) {
	for want, edit := range map[string]func(m map[string]any){
		`the attribute image: json: unknown field "nmae"`: func(m map[string]any) { sub(m, "image")["nmae"] = "x" },
		`there is no attribute "image"`:                   func(m map[string]any) { delete(m, "image") },
		`unknown field "entrypiont"`:                      func(m map[string]any) { sub(m, "image", "config")["entrypiont"] = "x" },
		`the graph lacks`:                                 func(m map[string]any) { delete(m, "graph") },
		`rootfs: there is none`:                           func(m map[string]any) { delete(sub(m, "image"), "rootfs") },
		`modes: neither a set of octal numbers`:           func(m map[string]any) { sub(m, "image")["modes"] = 5 },
	} {
		if _, _, err := Build(change(t, "attrs.json", edit), noFile); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, _, err := Build([]byte("{"), noFile); err == nil {
		t.Error("half a file is read")
	}
}
