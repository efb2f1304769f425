# Read by interactive shells.
case $- in
*i*) ;;
*) return ;;
esac

PS1='\u@\h:\w\$ '
HISTCONTROL=ignoreboth
shopt -s checkwinsize histappend
alias ls='ls --color=auto' ll='ls -l' grep='grep --color=auto'

for script in /etc/bashrc.d/*.sh; do
	if [ -r "$script" ]; then
		. "$script"
	fi
done
unset script
