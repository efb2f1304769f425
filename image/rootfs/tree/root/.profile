# Read by login shells after /etc/profile.
if [ -n "$BASH_VERSION" ] && [ -r ~/.bashrc ]; then
	. ~/.bashrc
fi
