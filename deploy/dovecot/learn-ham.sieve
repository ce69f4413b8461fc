# Runs when a user moves or copies a message out of Junk: it is taught as ham, unless it goes to the trash, which says
# nothing of it. The trash is what 15-mailboxes.conf gives `special_use = \Trash`, or one of the usual names.
require ["copy", "environment", "imapsieve", "special-use", "variables", "vnd.dovecot.pipe"];

if environment :matches "imap.mailbox" "*" { set "target" "${1}"; }
if anyof (
  string :is "${target}" ["Junk", "Trash", "Deleted Items", "Deleted Messages"],
  specialuse_exists "${target}" "\\Trash"
) {
  stop;
}

if environment :matches "imap.user" "*" { set "user" "${1}"; }
pipe :copy :try "earmark-learn" ["ham", "${user}"];
