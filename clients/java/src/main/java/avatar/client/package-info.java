// SPDX-License-Identifier: Apache-2.0

/**
 * Talk to a user through an avatar: {@link avatar.client.AvatarClient} opens a {@link avatar.client.Conversation},
 * whose {@link avatar.client.ConversationListener} gets what comes back. Messages are those of {@code avatar.v1},
 * generated from the contract, whose comments say what each means.
 */
package avatar.client;
