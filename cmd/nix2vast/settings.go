package main

import (
	"os"
	"path/filepath"

	"github.com/fleek-platform/nix2vast/image/registry"
)

// settings is what the environment says. Nothing else of this program reads it.
type settings struct {
	cacheDir string // for digests
	// attrs are the files that Nix may have left a builder's attributes in. Nix 2.8 names
	// the path outside of its sandbox, so the second one is where they really are.
	attrs   []string
	noColor bool
	runtime string // NIX2VAST_RUNTIME: docker or podman
	home    string // "" where there is none
	logins  logins
}

func readSettings() settings {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = filepath.Join(os.TempDir(), "nix2vast-cache") // there is no HOME, as in a Nix build
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // the same
	}
	s := settings{
		cacheDir: filepath.Join(cache, "nix2vast", "layers"),
		noColor:  os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb",
		runtime:  os.Getenv("NIX2VAST_RUNTIME"),
		home:     home,
		logins:   readLogins(),
	}
	if file := os.Getenv("NIX_ATTRS_JSON_FILE"); file != "" {
		s.attrs = append(s.attrs, file)
	}
	if top := os.Getenv("NIX_BUILD_TOP"); top != "" {
		s.attrs = append(s.attrs, filepath.Join(top, ".attrs.json"))
	}
	return s
}

// logins are the credentials for registries.
type logins struct {
	user  string
	token registry.Secret
	// GitHub's, with the variable that the token is from.
	githubUser, githubFrom string
	githubToken            registry.Secret
}

func readLogins() logins {
	l := logins{
		user: os.Getenv("REGISTRY_USER"), token: registry.Secret(os.Getenv("REGISTRY_TOKEN")),
		githubUser: os.Getenv("GITHUB_ACTOR"),
	}
	for _, name := range []string{"GITHUB_TOKEN", "GH_TOKEN"} {
		if value := os.Getenv(name); value != "" && l.githubToken == "" {
			l.githubToken, l.githubFrom = registry.Secret(value), name
		}
	}
	return l
}
