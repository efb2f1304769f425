package main

// The words that bash splits the line into are not ours: a name may hold @ and :.
// So the line is split at blanks, and what bash takes for done is cut off.
const bashCompletion = `# bash completion of init; made by: init completion bash
_init() {
	local words word line=${COMP_LINE:0:COMP_POINT} done
	read -ra words <<<"$line"
	[[ $line == *[[:blank:]] ]] && words+=("")
	word=${words[${#words[@]} - 1]}
	done=${word%"${COMP_WORDS[COMP_CWORD]}"}
	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		:files) compopt -o default 2>/dev/null ;;
		*)
			line=${line%%$'\t'*}
			COMPREPLY+=("${line#"$done"}")
			;;
		esac
	done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _init init
`

const zshCompletion = `#compdef init
# zsh completion of init; made by: init completion zsh
_init() {
	local line files=
	local -a found
	for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		case $line in
		'') ;;
		:files) files=1 ;;
		*) found+=("${${line%%$'\t'*}//:/\\:}:${${line#*$'\t'}#${line%%$'\t'*}}") ;;
		esac
	done
	(( $#found )) && _describe init found
	[[ -n $files ]] && _files
}
if [[ ${funcstack[1]-} = _init ]]; then
	_init "$@"
else
	compdef _init init
fi
`

const fishCompletion = `# fish completion of init; made by: init completion fish
function __init_complete
	set -l words (commandline -opc) (commandline -ct)
	for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
		if test "$line" = :files
			__fish_complete_path (commandline -ct)
		else
			echo $line
		end
	end
end
complete -c init -f -a '(__init_complete)'
`
