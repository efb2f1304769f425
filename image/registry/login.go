package registry

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Secret is a value that nothing prints. Convert it to a string to use it.
type Secret string

const hidden = "(secret)"

func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (Secret) Format(f fmt.State, _ rune)   { fmt.Fprint(f, hidden) }

// Login is what a registry is shown.
type Login struct {
	auth authn.Authenticator
	// From says for people where the credentials are from.
	From string
	// Anonymous says that there are none.
	Anonymous bool
}

// Sources are where credentials may be from. The first that has any for a registry is
// used, in the order of the fields; empty ones are passed over.
type Sources struct {
	// Username and Password are from the command line and the standard input.
	Username string
	Password Secret
	// RegistryUser and RegistryToken are REGISTRY_USER and REGISTRY_TOKEN.
	RegistryUser  string
	RegistryToken Secret
	// GitHubToken is for ghcr.io only. GitHubActor is its user, where known, and
	// GitHubFrom the name of the variable that it is from.
	GitHubToken Secret
	GitHubActor string
	GitHubFrom  string
	// GH asks the program gh for its token, and returns none where there is no such
	// program or nobody is logged in. For ghcr.io only.
	GH func(context.Context) (Secret, error)
	// Keychain is what docker and podman know.
	Keychain authn.Keychain
}

// githubUser is the user of a token whose user is not known: GitHub looks at the token only.
const githubUser = "x-access-token"

// Login returns the credentials for a repository's registry.
func (s Sources) Login(ctx context.Context, repo name.Repository) (Login, error) {
	host := repo.RegistryStr()
	github := host == "ghcr.io"
	switch {
	case s.Username != "" && s.Password == "":
		return Login{}, errors.New("there is a --username without a password: pass it with --password-stdin")
	case s.Username != "":
		return basic(s.Username, s.Password, "--username and --password-stdin"), nil
	case s.Password != "":
		return Login{}, errors.New("there is a password without its user: say --username too")
	case s.RegistryToken != "":
		user := s.RegistryUser
		if user == "" && github {
			user = githubUser
		}
		if user == "" {
			return Login{}, errors.New("REGISTRY_TOKEN is set, and REGISTRY_USER is not: set both")
		}
		return basic(user, s.RegistryToken, "REGISTRY_USER and REGISTRY_TOKEN"), nil
	case github && s.GitHubToken != "":
		user := s.GitHubActor
		if user == "" {
			user = githubUser
		}
		return basic(user, s.GitHubToken, s.GitHubFrom), nil
	}
	if github && s.GH != nil {
		token, err := s.GH(ctx)
		if err != nil {
			return Login{}, fmt.Errorf("asking gh for its token: %w", err)
		}
		if token != "" {
			return basic(githubUser, token, "gh auth token"), nil
		}
	}
	return s.kept(ctx, repo)
}

func basic(user string, password Secret, from string) Login {
	return Login{auth: &authn.Basic{Username: user, Password: string(password)}, From: from}
}

// kept is what docker's and podman's files and helpers say.
func (s Sources) kept(ctx context.Context, repo name.Repository) (Login, error) {
	none := Login{auth: authn.Anonymous, From: "no credentials", Anonymous: true}
	if s.Keychain == nil {
		return none, nil
	}
	auth, err := authn.Resolve(ctx, s.Keychain, repo)
	if err != nil {
		return Login{}, fmt.Errorf("reading docker's and podman's credentials for %s: %w", repo.RegistryStr(), err)
	}
	if auth == authn.Anonymous {
		return none, nil
	}
	return Login{auth: auth, From: "the login of docker or podman"}, nil
}

// secrets are the forms in which the credentials might be echoed.
func (l Login) secrets(ctx context.Context) []string {
	config, err := authn.Authorization(ctx, l.auth)
	if err != nil {
		return nil // using them fails as well, and says so
	}
	var list []string
	for _, s := range []string{config.Password, config.Auth, config.IdentityToken, config.RegistryToken} {
		if s != "" {
			list = append(list, s, url.QueryEscape(s))
		}
	}
	return list
}

// waysToLogIn is what a registry's refusal ends in.
func waysToLogIn(host string) string {
	if host == "ghcr.io" {
		return "set GITHUB_TOKEN to a token with the scope write:packages, or run gh auth login -s write:packages," +
			" or say --username and --password-stdin"
	}
	return "run docker login " + host + " or podman login " + host + ", or set REGISTRY_USER and REGISTRY_TOKEN," +
		" or say --username and --password-stdin"
}
