/** The built-in site's forum: posts, comments, votes. */
import { group, heading, link, postForm, text } from "./page.ts";
import { counted, type Post } from "./shop_data.ts";
import { cleanLine, notFound, paged, reply, type ShopReply, type Visit, withQuery } from "./shop_visit.ts";

/** Posts on a page. */
const POSTS_SHOWN = 5;
/** Newest comments that a post shows. */
const COMMENTS_SHOWN = 5;

/** `GET /forum?sort=votes&page=N` */
export function forumPage(visit: Visit): ShopReply {
  const byVotes = visit.query.get("sort") === "votes";
  const posts = byVotes
    ? [...visit.data.posts].sort((a, b) => b.votes - a.votes || b.number - a.number)
    : visit.data.posts;
  const { shown, links } = paged(visit, posts, POSTS_SHOWN);
  const cards = shown.map(({ number, title, votes, comments, author }) =>
    group("card", [
      { kind: "tile", hue: number, letters: author[0] },
      link(title, `/forum/${number}`),
      text(`${author}, ${counted(votes, "vote")}, ${counted(comments.length, "comment")}`, { look: "note" }),
    ])
  );
  const sort = byVotes
    ? link("Newest first", withQuery(visit, { sort: undefined, page: undefined }))
    : link("Most votes first", withQuery(visit, { sort: "votes", page: undefined }));
  return reply(visit, "Forum", [
    heading("Forum"),
    group("row", [sort, link("New post", "/forum/new", { isStrong: true })]),
    group("cards", cards, "posts"),
    ...links,
  ]);
}

/** `GET /forum/NUMBER` */
export function postPage(visit: Visit): ShopReply {
  const post = postOf(visit);
  if (!post) return notFound(visit);
  const comments = post.comments.slice(-COMMENTS_SHOWN).map(({ author, text: words }) =>
    group("card", [{ kind: "tile", hue: 6, letters: author[0] }, text(`${author}: ${words}`)])
  );
  const hasVoted = visit.session.votes.has(post.number);
  return reply(visit, post.title, [
    heading(post.title),
    text(`${post.author}: ${post.text}`),
    text(counted(post.votes, "vote"), { look: "note", id: "votes" }),
    postForm(`/forum/${post.number}/vote`, [{ kind: "button", text: hasVoted ? "Take back vote" : "Vote" }]),
    heading(counted(post.comments.length, "comment"), 2),
    ...comments.length > 0 ? [group("cards", comments, "comments")] : [],
    postForm(`/forum/${post.number}/comment`, [
      { kind: "textbox", name: "comment", label: "Comment", value: "" },
      { kind: "button", text: "Send", isStrong: true },
    ], "row"),
  ]);
}

function postOf({ data, parts }: Visit): Post | undefined {
  return data.posts.find(({ number }) => String(number) === parts[0]);
}

/** `POST /forum/NUMBER/vote` */
export function vote(visit: Visit): ShopReply {
  const post = postOf(visit);
  if (!post) return notFound(visit);
  const { votes } = visit.session;
  post.votes += votes.has(post.number) ? -1 : 1;
  if (!votes.delete(post.number)) votes.add(post.number);
  return { redirect: `/forum/${post.number}` };
}

/** `POST /forum/NUMBER/comment` */
export function addComment(visit: Visit): ShopReply {
  const post = postOf(visit);
  if (!post) return notFound(visit);
  const words = cleanLine(visit.form.comment);
  if (words === "") return { redirect: `/forum/${post.number}?refused=empty` };
  post.comments.push({ author: firstName(visit), text: words });
  return { redirect: `/forum/${post.number}?done=commented` };
}

function firstName({ session }: Visit): string {
  return session.isSignedIn ? session.address.name.split(" ")[0] : "Guest";
}

/** `GET /forum/new` */
export function newPostPage(visit: Visit): ShopReply {
  return reply(visit, "New post", [
    heading("New post"),
    postForm("/forum/new", [
      { kind: "textbox", name: "title", label: "Title", value: "" },
      { kind: "textbox", name: "text", label: "Text", value: "" },
      { kind: "button", text: "Publish", isStrong: true },
    ]),
  ]);
}

/** `POST /forum/new` */
export function addPost(visit: Visit): ShopReply {
  const { data, form } = visit;
  const title = cleanLine(form.title), words = cleanLine(form.text);
  if (title === "" || words === "") return { redirect: "/forum/new?refused=empty" };
  const number = data.posts[0].number + 1;
  data.posts.unshift({ number, title, text: words, author: firstName(visit), votes: 0, comments: [] });
  return { redirect: `/forum/${number}?done=posted` };
}
