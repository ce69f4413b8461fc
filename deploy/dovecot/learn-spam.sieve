# Runs when a user moves or copies a message into Junk: it is taught as spam.
require ["copy", "environment", "imapsieve", "variables", "vnd.dovecot.pipe"];

if environment :matches "imap.user" "*" { set "user" "${1}"; }

# :try, since the message is where its user wants it, whatever becomes of the lesson.
pipe :copy :try "earmark-learn" ["spam", "${user}"];
