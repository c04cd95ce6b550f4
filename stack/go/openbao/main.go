// The OpenBao server, from its own command package.
package main

import (
	"os"

	"github.com/openbao/openbao/command"
	"github.com/openbao/openbao/version"
)

func main() {
	// Of the commit in go.mod. The vendor's release sets it when it links.
	version.Version, version.VersionPrerelease = "2.4.0", ""
	os.Exit(command.Run(os.Args[1:]))
}
