# The page of all options, as HTML with a search: options.html beside this file, which
# ../nix-eval.sh --update writes and compares. `options` are those of optionAttrSetToDocList.
{ lib, options, root }:
let
  # `words` are code. No option's text has a backtick that is left alone.
  prose = text:
    lib.concatStrings (lib.imap0
      (i: part: if lib.mod i 2 == 0 then lib.escapeXML part else "<code>${lib.escapeXML part}</code>")
      (lib.splitString "`" (lib.trim text)));
  value = v: if v._type or "" == "literalMD" then prose v.text else "<pre>${lib.escapeXML (lib.trim v.text)}</pre>";
  file = lib.removePrefix "${toString root}/";
  row = name: content: "<dt>${name}</dt><dd>${content}</dd>\n";
  section = o: ''
    <section id="${lib.escapeXML o.name}">
    <h2><a href="#${lib.escapeXML o.name}">${lib.escapeXML o.name}</a></h2>
    <p>${prose (o.description.text or o.description)}</p>
    <dl>
    ${row "type" (lib.escapeXML o.type)
      + lib.optionalString (o ? default) (row "default" (value o.default))
      + lib.optionalString (o ? example) (row "example" (value o.example))
      + row "in" (lib.concatMapStringsSep ", " (d: lib.escapeXML (file (toString d))) o.declarations)}</dl>
    </section>
  '';
in
''
  <!DOCTYPE html>
  <html lang="en">
  <head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <title>nix2vast: options</title>
  <style>
  ${builtins.readFile ./page.css}</style>
  </head>
  <body>
  <h1>perSystem.nix2vast.&lt;name&gt;</h1>
  <p><input type="search" autofocus placeholder="words of a name or of its description" aria-label="Search"> <output></output></p>
  ${lib.concatMapStrings section options}<script>
  ${builtins.readFile ./page.js}</script>
  </body>
  </html>
''
